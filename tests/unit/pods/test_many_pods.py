"""Ten thousand media pods: what happens to one of them costs nothing that grows with the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from sluice_operator.domain.names import UID_LABEL
from sluice_operator.engine.clock import SystemClock
from sluice_operator.engine.queue import Key
from sluice_operator.pods.observer import PollError, StatusObserver
from sluice_operator.pods.samples import Samples
from sluice_operator.telemetry.metrics import Metrics
from tests.support.pod_world import make_pod, polls, until


class SilentHttp:
    """Pods that take a connection and say nothing."""

    @asynccontextmanager
    async def open(self, *_: Any) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield None


class Walked(dict[str, Any]):
    """Counts what is looked at by who goes through all of it."""

    seen = 0

    def __iter__(self) -> Iterator[str]:
        for key in super().__iter__():
            Walked.seen += 1
            yield key

    def values(self) -> Any:
        return [self[key] for key in self]

    def items(self) -> Any:
        return [(key, self[key]) for key in self]


class Crowd:
    """Pods, and how many tokens were read at the same time."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.reading = self.most_reading = self.tokens = 0
        self.observer = StatusObserver(
            SilentHttp(),
            Samples(SystemClock()),
            SystemClock(),
            self.metrics,
            token_of=self._token,
            is_current=lambda endpoint: True,
            on_answer=lambda owner, former, status: None,
            on_liveness=lambda owner: None,
        )

    async def _token(self, owner: Key, fresh: bool) -> SecretStr | None:
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        await asyncio.sleep(0)
        self.reading -= 1
        self.tokens += 1
        return None

    def see(self, count: int) -> None:
        for number in range(count):
            pod = make_pod(f"pod-{number}")
            pod["metadata"]["labels"][UID_LABEL] = f"owner-{number}"
            self.observer.see(pod)

    def hear(self, count: int) -> None:
        for number in range(count):
            self.observer._alive(self.observer._polls[f"pod-{number}"])

    def counted(self, state: str) -> float:
        return float(self.metrics.polled_pods.labels(state)._value.get())


async def test_no_step_looks_at_all_pods() -> None:
    """With 10,000 pods: 3 s to see them, 10 s to hear them, 70 s to forget them."""
    crowd = Crowd()
    running = asyncio.ensure_future(crowd.observer.run())
    await asyncio.sleep(0)
    Walked.seen = 0
    crowd.observer._polls = Walked()
    crowd.see(1_000)
    assert (crowd.counted("fresh"), crowd.counted("stale")) == (0, 1_000)
    crowd.hear(400)
    assert (crowd.counted("fresh"), crowd.counted("stale")) == (400, 600)
    crowd.hear(400)
    for number in range(300):
        crowd.observer.forget(f"owner-{number}")
    assert (crowd.counted("fresh"), crowd.counted("stale")) == (100, 600)
    crowd.observer._silent(crowd.observer._polls["pod-300"])
    assert (crowd.counted("fresh"), crowd.counted("stale")) == (99, 601)
    assert Walked.seen == 0
    await until(lambda: len(polls()) == 700)
    for number in range(1_000):
        crowd.observer.forget(f"owner-{number}")
    assert (crowd.counted("fresh"), crowd.counted("stale")) == (0, 0)
    running.cancel()
    await asyncio.wait([running])


async def test_tokens_are_read_a_few_at_a_time() -> None:
    """Twelve thousand reads at once kept passes and the Lease from the API server."""
    crowd = Crowd()
    crowd.see(300)
    running = asyncio.ensure_future(crowd.observer.run())
    await until(lambda: crowd.tokens == 300)
    assert crowd.most_reading <= 16
    running.cancel()
    await asyncio.wait([running])


async def test_an_object_with_two_pods_takes_both_along() -> None:
    crowd = Crowd()
    running = asyncio.ensure_future(crowd.observer.run())
    await asyncio.sleep(0)
    for uid in ("one", "two"):
        crowd.observer.see(make_pod(uid))
    crowd.observer.lose("one")
    crowd.observer.see(make_pod("one"))
    crowd.observer.forget("owner")
    await until(lambda: polls() == [])
    assert crowd.counted("stale") == 0
    running.cancel()
    await asyncio.wait([running])


async def test_a_pod_awaits_its_first_poll_until_it_was_polled_once(monkeypatch: Any) -> None:
    """Ten seconds after a start many of 12,000 were not asked yet, and their streams Stale."""
    crowd = Crowd()
    asked: dict[str, asyncio.Event] = {}

    async def ask(poll: Any, *_: Any) -> Any:
        await asked.setdefault(poll.endpoint.pod_uid, asyncio.Event()).wait()
        raise PollError("silent")

    monkeypatch.setattr(crowd.observer, "_ask", ask)
    crowd.see(3)
    running = asyncio.ensure_future(crowd.observer.run())
    await until(lambda: len(asked) == 3)
    late = make_pod("late")
    crowd.observer.see(late)
    await until(lambda: len(asked) == 4)

    def waiting() -> list[bool]:
        owners = ("owner-0", "owner-1", "owner-2", "owner")
        return [crowd.observer.awaits_first_poll(owner) for owner in owners]

    assert waiting() == [True, True, True, False], "who came later was not waited for"
    asked["pod-0"].set()
    await until(lambda: waiting() == [False, True, True, False])
    crowd.observer.lose("pod-1")
    assert waiting() == [False, False, True, False]
    assert not crowd.observer.first_round_is_over
    asked["pod-2"].set()
    await until(lambda: crowd.observer.first_round_is_over)
    running.cancel()
    await asyncio.wait([running])
