"""The work queue: which object is looked at next.

Rules
    *Dedup*: a key waits at most once. *Single flight*: a key is never handed out twice at a time;
    added while being worked on, it is handed out again afterwards (dirty). *Delay*: a key has at
    most one timer, the earliest wish wins. *Backoff*: per key, 0.1 s doubling to 60 s, with jitter.
    *Three lanes*: what somebody changed, what is due (a deadline, a retry), and what only ticks. A
    lane goes ahead of those after it, but each has its share of the turns, so that a deadline is
    kept however much is changed meanwhile.

A change wakes a key out of its backoff, because it may be what the key was waiting for, but not
sooner than a second after its last failure: our own half-done pass makes changes too.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from sluice_operator.engine.clock import Clock, Timer

_FIRST_BACKOFF_SECONDS = 0.1
_LAST_BACKOFF_SECONDS = 60.0
_JITTER = 0.2
_WAKE_AFTER_FAILURE_SECONDS = 1.0


@dataclass(slots=True, frozen=True, order=True)
class Key:
    """Names an object, whichever incarnation of the name it is."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Lane(IntEnum):
    CHANGE = 0
    """Somebody changed something."""
    DUE = 1
    """A time has come: a deadline, or the next try after a failure."""
    TICK = 2
    """Numbers have moved on, or everything is looked at."""


_TURNS = (
    Lane.CHANGE,
    Lane.DUE,
    Lane.CHANGE,
    Lane.DUE,
    Lane.CHANGE,
    Lane.DUE,
    Lane.CHANGE,
    Lane.TICK,
)
"""Which lane is asked first at each turn; where it is empty, the others are in their order."""


@dataclass(slots=True)
class _Delayed:
    due: float
    lane: Lane
    timer: Timer


@dataclass(slots=True)
class _Failures:
    count: int
    last: float


class WorkQueue:
    """Not thread-safe: everything happens on one event loop."""

    def __init__(self, clock: Clock, *, jitter: Callable[[], float] = random.random) -> None:
        """``jitter`` returns a number in 0..1."""
        self._clock = clock
        self._jitter = jitter
        self._ready: dict[Lane, OrderedDict[Key, None]] = {lane: OrderedDict() for lane in Lane}
        """A key keeps its place in a lane when it comes into another one as well."""
        self._waiting: set[Key] = set()
        self._turn = 0
        self._working: set[Key] = set()
        self._dirty: dict[Key, Lane] = {}
        self._delayed: dict[Key, _Delayed] = {}
        self._failures: dict[Key, _Failures] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait to be worked on now."""
        return len(self._waiting) + len(self._dirty)

    def add(self, key: Key, lane: Lane = Lane.CHANGE) -> None:
        """Has the key looked at as soon as a worker is free."""
        failures = self._failures.get(key)
        if failures is not None and key not in self._working:
            wait = failures.last + _WAKE_AFTER_FAILURE_SECONDS - self._clock.monotonic()
            if wait > 0:
                self.add_after(key, wait, lane)
                return
        self._push(key, lane)

    def add_after(self, key: Key, seconds: float, lane: Lane = Lane.DUE) -> None:
        """Has the key looked at after this time, or earlier if it was to be already."""
        due = self._clock.monotonic() + max(0.0, seconds)
        pending = self._delayed.get(key)
        if pending is not None:
            lane = min(lane, pending.lane)
            if pending.due <= due:
                pending.lane = lane
                return
            pending.timer.cancel()
        timer = self._clock.call_later(max(0.0, seconds), lambda: self._on_timer(key))
        self._delayed[key] = _Delayed(due, lane, timer)

    def retry(self, key: Key) -> float:
        """Counts a failure and returns the seconds until the next try."""
        failures = self._failures.setdefault(key, _Failures(0, 0.0))
        base = min(_FIRST_BACKOFF_SECONDS * 2.0 ** min(failures.count, 30), _LAST_BACKOFF_SECONDS)
        seconds = base * (1.0 - _JITTER * self._jitter())
        failures.count += 1
        failures.last = self._clock.monotonic()
        self.add_after(key, seconds)
        return seconds

    def succeeded(self, key: Key) -> None:
        """Forgets the failures of a key."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drops the timer and the failures of a key whose object is gone."""
        self._failures.pop(key, None)
        delayed = self._delayed.pop(key, None)
        if delayed is not None:
            delayed.timer.cancel()

    async def get(self) -> Key:
        """The next key; call :meth:`done` with it afterwards."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        first = _TURNS[self._turn]
        self._turn = (self._turn + 1) % len(_TURNS)
        key = next(key for lane in (first, *Lane) for key in self._ready[lane])
        for lane in Lane:
            self._ready[lane].pop(key, None)
        self._waiting.discard(key)
        self._working.add(key)
        # Whatever was to happen later is happening now.
        self._drop_timer(key)
        return key

    def done(self, key: Key) -> None:
        self._working.discard(key)
        lane = self._dirty.pop(key, None)
        if lane is not None:
            self.add(key, lane)

    def _push(self, key: Key, lane: Lane) -> None:
        if key in self._working:
            self._dirty[key] = min(lane, self._dirty.get(key, lane))
            return
        self._ready[lane].setdefault(key)
        self._waiting.add(key)
        self._wake.set()

    def _on_timer(self, key: Key) -> None:
        delayed = self._delayed.pop(key)
        self._push(key, delayed.lane)

    def _drop_timer(self, key: Key) -> None:
        delayed = self._delayed.pop(key, None)
        if delayed is not None:
            delayed.timer.cancel()
