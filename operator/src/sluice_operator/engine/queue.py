"""The work queue: it decides which object gets the next pass.

Rules
    *Dedup*: a key waits at most once. *Single flight*: a key has at most one worker; a key that is
    added during its pass gets another pass afterwards (dirty). *Delay*: a key has at most one
    timer, and the earliest time wins. *Backoff*: per key, 0.1 s doubling to 60 s, with jitter.
    *Three lanes*: changes, due times (a deadline, a retry), and ticks. Earlier lanes go first, but
    each lane has its share of the turns, so that many changes cannot delay a deadline.

A change ends the backoff of a key, because the key may have waited for that change. The next pass
starts at least one second after the last failure, because a failed pass makes changes too.
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
    """Kind, namespace and name of an object, without its uid."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Lane(IntEnum):
    """Priority of a key in the queue, highest first."""

    CHANGE = 0
    """An object changed."""
    DUE = 1
    """A deadline has passed, or a retry is due."""
    TICK = 2
    """Only counters or durations changed, or all objects are checked."""


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
"""The lane that is served at each turn. If it is empty, the first lane with a key is served."""


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
    """Keys that wait for a pass. Not thread-safe: all calls come from one event loop."""

    def __init__(self, clock: Clock, *, jitter: Callable[[], float] = random.random) -> None:
        """``jitter`` returns a number from 0 to 1."""
        self._clock = clock
        self._jitter = jitter
        self._ready: dict[Lane, OrderedDict[Key, None]] = {lane: OrderedDict() for lane in Lane}
        """Keys of each lane. A key that is added to a second lane keeps its place in the first."""
        self._waiting: set[Key] = set()
        self._turn = 0
        self._working: set[Key] = set()
        self._dirty: dict[Key, Lane] = {}
        self._delayed: dict[Key, _Delayed] = {}
        self._failures: dict[Key, _Failures] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Return the number of keys that wait for a worker, without those that wait for a time."""
        return len(self._waiting) + len(self._dirty)

    def add(self, key: Key, lane: Lane = Lane.CHANGE) -> None:
        """Queue the key for the next free worker."""
        failures = self._failures.get(key)
        if failures is not None and key not in self._working:
            wait = failures.last + _WAKE_AFTER_FAILURE_SECONDS - self._clock.monotonic()
            if wait > 0:
                self.add_after(key, wait, lane)
                return
        self._push(key, lane)

    def add_after(self, key: Key, seconds: float, lane: Lane = Lane.DUE) -> None:
        """Queue the key after this time. An earlier timer of the key stays."""
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
        """Count a failure, and queue the key again; return the seconds until then."""
        failures = self._failures.setdefault(key, _Failures(0, 0.0))
        base = min(_FIRST_BACKOFF_SECONDS * 2.0 ** min(failures.count, 30), _LAST_BACKOFF_SECONDS)
        seconds = base * (1.0 - _JITTER * self._jitter())
        failures.count += 1
        failures.last = self._clock.monotonic()
        self.add_after(key, seconds)
        return seconds

    def succeeded(self, key: Key) -> None:
        """Reset the failures of a key."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop the timer and the failures of a key whose object is gone."""
        self._failures.pop(key, None)
        delayed = self._delayed.pop(key, None)
        if delayed is not None:
            delayed.timer.cancel()

    async def get(self) -> Key:
        """Wait for the next key and return it. The caller must call :meth:`done` afterwards."""
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
        # This pass replaces the one that the timer would start.
        self._drop_timer(key)
        return key

    def done(self, key: Key) -> None:
        """Note the end of the pass. Queue the key again if it was added during the pass."""
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
