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

STALL_SECONDS = 3.0
_MIN_ONE_SECOND_BYTES = 4_096
_FROZEN_SHARE = 0.05
"""A target that took less than this share of the media rate takes nothing."""
_SLOW_SHARE = 2 / 3
"""A target that takes less than this share of the media is slow: most of the stream would have to
be left out. What is missing to the whole is left out by the feeder, a group of pictures at a time.
"""
_GROWTH_SECONDS = (1 - _SLOW_SHARE) * STALL_SECONDS / 2
"""By so many seconds of media what is owed grows from the older half of the window to the newer
one, at a target that takes that share."""
_KEPT_UP_SHARE = 0.8
_KEPT_UP_SECONDS = 5.0
"""A target that was slow and takes this share of the media for so long is slow no more. Both are
well above what makes it slow, so that the verdict does not change with each large picture."""
_TOLD_SHARE = 0.25
"""At least this share of the media rate must have come, for a reach that stands still to tell."""


@dataclass(slots=True, frozen=True)
class Sample:
    """One look at a connection. All counters are bytes since it began."""

    at: float
    """Monotonic seconds."""
    handed: int
    """Everything there was to send so far, without what was dropped."""
    waiting: int
    """What of it is still on its way."""
    reach: int | None = None
    """Up to where the target's application has made room; see
    :class:`sluice_media.push.channel.Backlog`."""
    lost: int = 0
    """Given up because it would have come too late."""
    dropped: int = 0
    """Left out of the queue because the target is too slow; counted from any number."""

    @property
    def taken(self) -> int:
        """What the peer's kernel has."""
        return self.handed - self.waiting - self.lost

    @property
    def owed(self) -> int:
        """What the target should have and has not got: leaving it out makes it no faster."""
        return self.waiting + self.lost + self.dropped


class FlowMeter:
    """Fed several times a second while a publish is accepted."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._trouble: Flow | None = None
        """SLOW or STALLED, until it is over."""
        self._behind_at = 0.0
        """When the target last took less than it has to, to be slow no more."""

    def sample(self, sample: Sample, bytes_per_second: float) -> Flow:
        """The verdict after one more look; ``bytes_per_second`` is the media's rate."""
        samples = self._samples
        samples.append(sample)
        # One sample from before the window stays, so that the window is covered whole.
        while len(samples) > 1 and samples[1].at <= sample.at - STALL_SECONDS:
            samples.popleft()
        one_second = max(bytes_per_second, _MIN_ONE_SECOND_BYTES)
        is_through = sample.waiting < one_second
        if not self._takes(_KEPT_UP_SHARE):
            self._behind_at = sample.at
        if self._takes_nothing(STALL_SECONDS * one_second):
            self._trouble = Flow.STALLED
        elif (not is_through and self._falls_behind(one_second)) or (
            self._is_losing(STALL_SECONDS * one_second)
        ):
            self._trouble = Flow.SLOW
        elif (is_through and not self._has_dropped) or (
            sample.at - self._behind_at >= _KEPT_UP_SECONDS
        ):
            self._trouble = None
        elif self._trouble is Flow.STALLED and self._takes(_FROZEN_SHARE):
            self._trouble = Flow.SLOW
        if self._trouble is not None:
            return self._trouble
        return Flow.FLOWING if is_through or self._takes(_SLOW_SHARE) else Flow.FILLING

    @property
    def _is_covered(self) -> bool:
        return self._samples[-1].at - self._samples[0].at >= STALL_SECONDS

    @property
    def _has_dropped(self) -> bool:
        return self._samples[-1].dropped != self._samples[0].dropped

    def _takes(self, share: float) -> bool:
        """Return whether media came in the whole window and the target took this share of it."""
        first, last = self._samples[0], self._samples[-1]
        taken = last.taken - first.taken
        came = taken + last.owed - first.owed
        return self._is_covered and came > 0 and taken >= share * came

    def _takes_nothing(self, window: float) -> bool:
        """Return whether media came and the target took none of it. ``window`` is the media's
        bytes in the window."""
        first, last = self._samples[0], self._samples[-1]
        if not self._is_covered:
            return False
        if self._is_unread(window):
            return True
        is_idle = min(s.waiting for s in self._samples) == 0 and first.lost == last.lost
        return (
            not is_idle
            and last.taken - first.taken < _FROZEN_SHARE * window
            and last.owed > first.owed
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

    def _falls_behind(self, one_second: float) -> bool:
        """Return whether what is owed grows all the time. A large picture that needs its time is
        no growth."""
        if not self._is_covered or self._takes(_SLOW_SHARE):
            return False
        middle = self._samples[-1].at - STALL_SECONDS / 2
        older = min(s.owed for s in self._samples if s.at <= middle)
        newer = min(s.owed for s in self._samples if s.at > middle)
        return newer - older >= _GROWTH_SECONDS * one_second

    def _is_losing(self, window: float) -> bool:
        """What would have come too late was given up, all the time."""
        middle = self._samples[len(self._samples) // 2].lost
        first, last = self._samples[0].lost, self._samples[-1].lost
        return self._is_covered and first < middle < last and last - first >= _FROZEN_SHARE * window
