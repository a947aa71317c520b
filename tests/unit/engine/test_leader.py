"""One Lease: never two leaders, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from sluice_operator.engine.leader import Leader, LeadershipLostError, LeaseTimes
from sluice_operator.kube.errors import ApiError, UnavailableError
from tests.support.engine_fakes import FakeApi, FakeClock, settle


def make_leader(api: FakeApi, clock: FakeClock, identity: str) -> Leader:
    return Leader(api, clock, namespace="ns", name="lease", identity=identity)


def holder(api: FakeApi) -> str:
    return str(api.objects["Lease", "ns", "lease"]["spec"]["holderIdentity"])


def away(verb: str, kind: str, name: str) -> ApiError:
    return UnavailableError("away")


async def test_the_first_one_leads_at_once() -> None:
    api, clock = FakeApi(), FakeClock()
    await make_leader(api, clock, "a").acquire()
    assert holder(api) == "a"


async def test_the_second_one_waits_while_the_first_renews() -> None:
    api, clock = FakeApi(), FakeClock()
    first, second = make_leader(api, clock, "a"), make_leader(api, clock, "b")
    await first.acquire()
    holding = asyncio.ensure_future(first.hold())
    waiting = asyncio.ensure_future(second.acquire())
    await clock.advance(300)
    assert not waiting.done()
    assert first.is_leading
    holding.cancel()
    waiting.cancel()


async def test_the_second_one_takes_over_15_seconds_after_the_first_died() -> None:
    api, clock = FakeApi(), FakeClock()
    await make_leader(api, clock, "a").acquire()
    waiting = asyncio.ensure_future(make_leader(api, clock, "b").acquire())
    await clock.advance(14)
    assert not waiting.done()
    await clock.advance(4)
    assert waiting.done()
    assert holder(api) == "b"
    assert api.objects["Lease", "ns", "lease"]["spec"]["leaseTransitions"] == 2


async def test_the_next_one_leads_within_half_a_second_of_a_release() -> None:
    """A rollout of the operator is a pause for everybody who waits for a status."""
    api, clock = FakeApi(), FakeClock()
    first = make_leader(api, clock, "a")
    await first.acquire()
    waiting = asyncio.ensure_future(make_leader(api, clock, "b").acquire())
    await clock.advance(3.1)
    await first.release()
    await clock.advance(0.5)
    assert waiting.done()


class Link:
    """A way to the API server that can be cut, and that may lose answers to what arrived."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self.is_up = True
        self.loses_answers = False

    def __getattr__(self, name: str) -> Any:
        async def ask(*args: Any, **kwargs: Any) -> Any:
            if not self.is_up:
                raise UnavailableError("cut off")
            answer = await getattr(self._api, name)(*args, **kwargs)
            if self.loses_answers:
                raise UnavailableError("the answer was lost")
            return answer

        return ask


@pytest.mark.parametrize("seed", range(20))
async def test_at_no_moment_do_two_lead(seed: int) -> None:
    """Links that come and go at random, answers lost at random; processes begin anew."""
    dice = random.Random(seed)
    api, clock = FakeApi(), FakeClock()
    links = [Link(api), Link(api)]
    leaders: list[Leader] = []
    lives: list[asyncio.Future[None]] = []

    async def live(leader: Leader) -> None:
        await leader.acquire()
        await leader.hold()

    for link, name in zip(links, "ab", strict=True):
        leader = Leader(link, clock, namespace="ns", name="lease", identity=name)
        leaders.append(leader)
        lives.append(asyncio.ensure_future(live(leader)))
    led = set()
    for _ in range(600):
        for link in links:
            if dice.random() < 0.03:
                link.is_up = dice.random() < 0.5
                link.loses_answers = dice.random() < 0.3
        await clock.advance(dice.uniform(0.1, 1.0))
        leading = [number for number, leader in enumerate(leaders) if leader.is_leading]
        assert len(leading) < 2
        led.update(leading)
        for number, life in enumerate(lives):
            if life.done():
                assert isinstance(life.exception(), LeadershipLostError)
                name = f"{number}-{clock.monotonic()}"
                leaders[number] = Leader(
                    links[number], clock, namespace="ns", name="lease", identity=name
                )
                lives[number] = asyncio.ensure_future(live(leaders[number]))
    assert led
    for life in lives:
        life.cancel()


async def test_a_renewal_that_hangs_ends_leadership_in_time() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    await clock.advance(9.99)
    assert leader.is_leading
    await clock.advance(0.02)
    assert not leader.is_leading


async def test_a_short_outage_is_survived() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    holding = asyncio.ensure_future(leader.hold())
    api.fail = away
    await clock.advance(7)
    api.fail = lambda verb, kind, name: None
    await clock.advance(30)
    assert leader.is_leading
    assert not holding.done()
    holding.cancel()


async def test_a_long_outage_ends_leadership() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    holding = asyncio.ensure_future(leader.hold())
    api.fail = away
    await clock.advance(12)
    with pytest.raises(LeadershipLostError):
        await holding


async def test_losing_the_lease_cancels_what_runs_under_it() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    cancelled = False

    async def work() -> None:
        nonlocal cancelled
        try:
            async with leader.leading():
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled = True
            raise

    working = asyncio.ensure_future(work())
    await settle()
    api.fail = away
    await clock.advance(12)
    with pytest.raises(BaseExceptionGroup) as failure:
        await working
    assert failure.group_contains(LeadershipLostError)


async def test_a_clean_end_lets_the_next_one_begin_at_once() -> None:
    api, clock = FakeApi(), FakeClock()
    async with make_leader(api, clock, "a").leading():
        assert holder(api) == "a"
    assert holder(api) == ""
    await make_leader(api, clock, "b").acquire()
    assert holder(api) == "b"


async def test_a_container_that_restarts_in_its_pod_goes_on_at_once() -> None:
    api, clock = FakeApi(), FakeClock()
    await make_leader(api, clock, "pod-1").acquire()
    await asyncio.wait_for(make_leader(api, clock, "pod-1").acquire(), 1)


async def test_somebody_who_annotates_the_lease_does_not_end_leadership() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    holding = asyncio.ensure_future(leader.hold())
    lease = api.objects["Lease", "ns", "lease"]
    api.put({**lease, "metadata": {**lease["metadata"], "annotations": {"x": "1"}}})
    await clock.advance(30)
    assert leader.is_leading
    holding.cancel()


async def test_a_lease_taken_by_force_ends_leadership() -> None:
    api, clock = FakeApi(), FakeClock()
    leader = make_leader(api, clock, "a")
    await leader.acquire()
    holding = asyncio.ensure_future(leader.hold())
    lease = api.objects["Lease", "ns", "lease"]
    api.put({**lease, "spec": {**lease["spec"], "holderIdentity": "b"}})
    await clock.advance(3)
    with pytest.raises(LeadershipLostError):
        await holding
    assert holder(api) == "b"


async def test_a_deleted_lease_is_not_taken_from_a_holder_who_does_not_know() -> None:
    api, clock = FakeApi(), FakeClock()
    first, second = make_leader(api, clock, "a"), make_leader(api, clock, "b")
    await first.acquire()
    waiting = asyncio.ensure_future(second.acquire())
    await clock.advance(3)
    api.drop("Lease", "lease")
    await clock.advance(10)
    assert not waiting.done()
    await clock.advance(10)
    assert waiting.done()


def test_times_that_allow_two_leaders_are_refused() -> None:
    with pytest.raises(ValueError, match="renew deadline < lease duration"):
        LeaseTimes(lease_seconds=10, renew_deadline_seconds=10)
