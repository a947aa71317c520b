"""Whether a target takes what it is sent, judged from the send queue (pure).

A write to a socket says nothing: the kernel on this side and the one over there swallow seconds
of media of a frozen target before a write blocks. What counts is how the bytes still under way
develop: in our own queue, in the transport, and in the kernel (SIOCOUTQ, unsent and not yet
acknowledged by the peer's kernel).

A thin stream fits into the frozen target's kernel for longer than anybody wants to wait: 300 kb/s
take ten seconds and more to fill what autotuning left it. The window that its kernel offers tells
at once: what is acknowledged *plus* what is still offered grows only while somebody over there
reads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sluice_media.push.machine import Flow

__all__ = ["STALL_SECONDS", "FlowMeter", "Sample"]

STALL_SECONDS = 3.0
_MIN_ONE_SECOND_BYTES = 4_096
_FROZEN_SHARE = 0.05
"""A target that took less than this share of the media rate takes nothing."""
_GROWTH_SECONDS = 0.5
"""By so many seconds of media the queue's low-water mark must grow from the older half of the
window to the newer: a target that takes less than two thirds of the media rate."""
_DEEP_SECONDS = 3.0
"""A queue that holds so much media and does not shrink is stalled, however slowly it grows."""
_TOLD_SHARE = 0.25
"""At least this share of the media rate must have come, for a reach that stands still to tell."""


@dataclass(slots=True, frozen=True)
class Sample:
    """One look at a connection. All counters are bytes since it began."""

    at: float
    """Monotonic seconds."""
    handed: int
    """Everything there was to send so far."""
    waiting: int
    """What of it is still on its way."""
    reach: int | None = None
    """Up to where the target's application has made room; see
    :class:`sluice_media.push.channel.Backlog`."""
    lost: int = 0
    """Given up because it would have come too late."""

    @property
    def taken(self) -> int:
        """What the peer's kernel has."""
        return self.handed - self.waiting - self.lost


class FlowMeter:
    """Fed several times a second while a publish is accepted."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._stalled = False

    def sample(self, sample: Sample, bytes_per_second: float) -> Flow:
        """The verdict after one more look; ``bytes_per_second`` is the media's rate."""
        samples = self._samples
        samples.append(sample)
        # One sample from before the window stays, so that the window is covered whole.
        while len(samples) > 1 and samples[1].at <= sample.at - STALL_SECONDS:
            samples.popleft()
        one_second = max(bytes_per_second, _MIN_ONE_SECOND_BYTES)
        if self._is_stalling(one_second):
            self._stalled = True
        elif self._stalled:
            # It moves again; but only what is through makes it good.
            self._stalled = sample.waiting >= one_second and not self._is_shrinking()
        if self._stalled:
            return Flow.STALLED
        return Flow.FLOWING if sample.waiting < one_second else Flow.FILLING

    def _is_stalling(self, one_second: float) -> bool:
        samples = self._samples
        first, last = samples[0], samples[-1]
        if last.at - first.at < STALL_SECONDS:
            return False
        window = STALL_SECONDS * one_second
        if self._is_unread(window) or self._is_losing(window):
            return True
        if min(s.waiting for s in samples) == 0:
            return False
        if last.taken - first.taken < _FROZEN_SHARE * window and last.waiting > first.waiting:
            return True
        older, newer = self._halves()
        low_before, low_now = min(older), min(newer)
        return low_now - low_before >= _GROWTH_SECONDS * one_second or (
            low_now >= low_before and low_before >= _DEEP_SECONDS * one_second
        )

    def _is_unread(self, window: float) -> bool:
        """Media came, and the target's application has made no room for it."""
        first, last = self._samples[0], self._samples[-1]
        if first.reach is None or last.reach is None:
            return False
        return (
            last.handed - first.handed >= _TOLD_SHARE * window
            and last.reach - first.reach < _FROZEN_SHARE * window
        )

    def _is_losing(self, window: float) -> bool:
        """What would have come too late was given up, all the time."""
        middle = self._samples[len(self._samples) // 2].lost
        first, last = self._samples[0].lost, self._samples[-1].lost
        return first < middle < last and last - first >= _FROZEN_SHARE * window

    def _is_shrinking(self) -> bool:
        older, newer = self._halves()
        return bool(older) and bool(newer) and max(newer) < min(older)

    def _halves(self) -> tuple[list[int], list[int]]:
        middle = self._samples[-1].at - STALL_SECONDS / 2
        older = [s.waiting for s in self._samples if s.at <= middle]
        newer = [s.waiting for s in self._samples if s.at > middle]
        return older, newer
