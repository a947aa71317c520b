"""What the fault tests of Restreams share: a platform, lines that break, and a stopwatch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.frames import runs
from tests.support.kubectl import Kubectl
from tests.support.push_peers import Line, line_to

__all__ = ["Lines", "State", "Stopwatch", "dials", "lines", "unbroken"]

Status = dict[str, Any]


class Lines:
    """Relays before targets; they run beside the test, which waits for kubectl most of the time."""

    def __init__(self, host: str, loop: asyncio.AbstractEventLoop) -> None:
        self._host, self._loop = host, loop
        self._stack = contextlib.AsyncExitStack()

    def to(self, port: int, **how: Any) -> Line:
        opened = line_to(port, host=self._host, **how)
        return asyncio.run_coroutine_threadsafe(
            self._stack.enter_async_context(opened), self._loop
        ).result(10)

    def reset(self, line: Line) -> None:
        self._loop.call_soon_threadsafe(line.reset)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)

    async def _end(self) -> None:
        await self._stack.aclose()
        relaying = asyncio.all_tasks() - {asyncio.current_task()}
        for task in relaying:
            task.cancel()
        await asyncio.gather(*relaying, return_exceptions=True)


@contextmanager
def lines(host: str) -> Iterator[Lines]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="lines")
    thread.start()
    made = Lines(host, loop)
    try:
        yield made
    finally:
        made.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@dataclass(slots=True, frozen=True)
class State:
    """A Restream's status as it became known."""

    at: float
    """Monotonic seconds."""
    name: str
    status: Status

    @property
    def word(self) -> str:
        return str(self.status.get("state"))

    @property
    def class_(self) -> str | None:
        found: str | None = self.status.get("lastError", {}).get("class")
        return found


class Stopwatch:
    """Watches all Restreams of a namespace, and notes when what became known."""

    def __init__(self, kube: Kubectl) -> None:
        command = [kube.binary, f"--kubeconfig={kube.kubeconfig}", f"--namespace={kube.namespace}"]
        self._process = subprocess.Popen(
            [*command, "get", "restreams", "--watch", "-o", "json"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._seen: list[State] = []
        self._news = threading.Condition()
        self._reading = threading.Thread(target=self._read, name="stopwatch")
        self._reading.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        text = ""
        for line in self._process.stdout:
            text += line
            if line.rstrip() == "}":  # kubectl indents what is inside an object
                obj, text = json.loads(text), ""
                name, status = obj["metadata"]["name"], obj.get("status", {})
                with self._news:
                    self._seen.append(State(time.monotonic(), name, status))
                    self._news.notify_all()

    def until(
        self,
        name: str,
        what: str | Callable[[State], object],
        *,
        since: float = 0.0,
        seconds: float = 60,
    ) -> State:
        """The first status after ``since`` that is so (a word: that state)."""

        def fits(seen: State) -> object:
            return seen.word == what if isinstance(what, str) else what(seen)

        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                for seen in self._seen:
                    if seen.name == name and seen.at >= since and fits(seen):
                        return seen
                if not self._news.wait(deadline - time.monotonic()):
                    story = [(round(s.at - since, 2), s.word, s.class_) for s in self.of(name)]
                    raise AssertionError(f"{name}: not {what} within {seconds:.0f} s: {story}")

    def of(self, name: str) -> list[State]:
        return [seen for seen in self._seen if seen.name == name]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._reading.join(10)


def dials(kube: Kubectl, name: str) -> list[tuple[datetime, datetime]]:
    """Out of the pusher's log: when it dialled with success, and when it was Live."""
    found: list[tuple[datetime, datetime]] = []
    began: datetime | None = None
    for line in kube("logs", f"deploy/{name}-push").splitlines():
        entry = json.loads(line)
        if entry["event"] != "push_state":
            continue
        at = datetime.fromisoformat(entry["timestamp"])
        if entry["state"] == "Live" and entry["before"] == "Connecting" and began is not None:
            found.append((began, at))
        began = at if entry["state"] == "Connecting" else None
    return found


def unbroken(file: Path, clip: Path) -> int:
    """How many frames a target has; raises unless they are all of a looped clip's, in order."""
    found = runs(file, {"A": clip})
    assert found, f"{file} is empty"
    last = max(run.last for run in found)
    assert found[0].first == 0, found
    for run, following in pairwise(found):
        assert (run.source, following.source) == ("A", "A"), found
        assert (run.last, following.first) == (last, 0), found
    return sum(map(len, found))
