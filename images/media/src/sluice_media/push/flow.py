"""Whether a target takes what it is sent, judged from the send queue (pure).

A write to a socket says nothing: the kernel on this side and the one over there swallow seconds
of media of a frozen target before a write blocks. What counts is how the bytes still under way
develop: in our own queue, in the transport, and in the kernel (SIOCOUTQ, unsent and not yet
acknowledged by the peer's kernel).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sluice_media.push.machine import Flow

__all__ = ["STALL_SECONDS", "FlowMeter"]

STALL_SECONDS = 3.0
_MIN_ONE_SECOND_BYTES = 4_096
_FROZEN_SHARE = 0.05
"""A target that took less than this share of the media rate takes nothing."""
_GROWTH_SECONDS = 0.5
"""By so many seconds of media the queue's low-water mark must grow from the older half of the
window to the newer: a target that takes less than two thirds of the media rate."""
_DEEP_SECONDS = 3.0
"""A queue that holds so much media and does not shrink is stalled, however slowly it grows."""


@dataclass(slots=True, frozen=True)
class _Sample:
    at: float
    waiting: int
    """Bytes on their way."""
    taken: int
    """Bytes that the peer's kernel has, since the connection began."""


class FlowMeter:
    """Fed several times a second while a publish is accepted."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._stalled = False

    def sample(
        self, at: float, *, handed_bytes: int, waiting_bytes: int, bytes_per_second: float
    ) -> Flow:
        """The verdict after one more look.

        ``at``: monotonic seconds. ``handed_bytes``: everything there was to send so far.
        ``waiting_bytes``: what of it is still on its way. ``bytes_per_second``: the media's rate.
        """
        samples = self._samples
        samples.append(_Sample(at, waiting_bytes, handed_bytes - waiting_bytes))
        # One sample from before the window stays, so that the window is covered whole.
        while len(samples) > 1 and samples[1].at <= at - STALL_SECONDS:
            samples.popleft()
        one_second = max(bytes_per_second, _MIN_ONE_SECOND_BYTES)
        if self._is_stalling(at, one_second):
            self._stalled = True
        elif self._stalled:
            # It moves again; but only what is through makes it good.
            self._stalled = waiting_bytes >= one_second and not self._is_shrinking(at)
        if self._stalled:
            return Flow.STALLED
        return Flow.FLOWING if waiting_bytes < one_second else Flow.FILLING

    def _is_stalling(self, at: float, one_second: float) -> bool:
        samples = self._samples
        if at - samples[0].at < STALL_SECONDS or min(s.waiting for s in samples) == 0:
            return False
        taken = samples[-1].taken - samples[0].taken
        if taken < _FROZEN_SHARE * STALL_SECONDS * one_second and samples[-1].waiting > (
            samples[0].waiting
        ):
            return True
        older, newer = self._halves(at)
        low_before, low_now = min(older), min(newer)
        return low_now - low_before >= _GROWTH_SECONDS * one_second or (
            low_now >= low_before and low_before >= _DEEP_SECONDS * one_second
        )

    def _is_shrinking(self, at: float) -> bool:
        older, newer = self._halves(at)
        return bool(older) and bool(newer) and max(newer) < min(older)

    def _halves(self, at: float) -> tuple[list[int], list[int]]:
        middle = at - STALL_SECONDS / 2
        older = [s.waiting for s in self._samples if s.at <= middle]
        newer = [s.waiting for s in self._samples if s.at > middle]
        return older, newer
