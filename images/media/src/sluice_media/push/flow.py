"""Verdict on a target from its send queue: the target takes media, or does not (pure).

A write to a socket proves nothing: the kernels on both sides swallow seconds of media for a frozen
target before a write blocks. The verdict comes from the bytes still on their way: in our own queue,
in the transport, and in the kernel (SIOCOUTQ: unsent, or not acknowledged by the peer's kernel).

A stream of a low bit rate fits into the frozen target's kernel for a long time: 300 kb/s take ten
seconds and more to fill the buffer, whose size autotuning has chosen. The window that this kernel
offers shows a frozen target at once: acknowledged *plus* offered bytes grow only while the target's
application reads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sluice_media.push.machine import Flow

STALL_SECONDS = 3.0
_MIN_ONE_SECOND_BYTES = 4_096
_FROZEN_SHARE = 0.05
"""Share of the media rate below which a target counts as taking nothing."""
_SLOW_SHARE = 2 / 3
"""Share of the media below which a target is slow. Above it, the feeder drops the part that the
target does not take, one group of pictures at a time."""
_GROWTH_SECONDS = (1 - _SLOW_SHARE) * STALL_SECONDS / 2
"""Growth of the owed bytes from the older half of the window to the newer half, in seconds of
media, at a target that takes :data:`_SLOW_SHARE`."""
_KEPT_UP_SHARE = 0.8
_KEPT_UP_SECONDS = 5.0
"""A slow target recovers when it takes :data:`_KEPT_UP_SHARE` of the media for this time. Both
values are well above the limits for a slow target, so that a large picture does not change the
verdict."""
_PROVING_SHARE = 0.25
"""Share of the media rate that must have come before a reach that stands still proves anything."""


@dataclass(slots=True, frozen=True)
class Sample:
    """One measurement of a connection. All counters are bytes since it began."""

    at: float
    """Time of the measurement, in monotonic seconds."""
    handed: int
    """Bytes to send so far, without the dropped ones."""
    waiting: int
    """Bytes of ``handed`` that are still on their way."""
    reach: int | None = None
    """Byte position up to which the target has offered room; see
    :class:`sluice_media.push.channel.Backlog`."""
    lost: int = 0
    """Bytes that were given up because they would have arrived too late."""
    dropped: int = 0
    """Bytes dropped from the queue because the target is too slow; counted from any origin."""

    @property
    def taken(self) -> int:
        """Bytes that the peer's kernel has."""
        return self.handed - self.waiting - self.lost

    @property
    def owed(self) -> int:
        """Bytes that the target should have and has not got. Dropped bytes count: dropping them
        does not make the target faster."""
        return self.waiting + self.lost + self.dropped


class FlowMeter:
    """The samples of one connection and the verdict on its target. It takes several samples a
    second while a publish is accepted."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._trouble: Flow | None = None
        """SLOW or STALLED, until the target recovers."""
        self._behind_at = 0.0
        """Last time at which the target took less than :data:`_KEPT_UP_SHARE`."""

    def sample(self, sample: Sample, bytes_per_second: float) -> Flow:
        """Add a sample; return the verdict. ``bytes_per_second`` is the media's rate."""
        samples = self._samples
        samples.append(sample)
        # One sample from before the window stays, so that the samples cover the whole window.
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
        """Return whether media came and the target took none. ``window`` is the media in the
        window, in bytes."""
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
        """Return whether media came and the target's application offered no room for it."""
        first, last = self._samples[0], self._samples[-1]
        if first.reach is None or last.reach is None:
            return False
        return (
            last.handed - first.handed >= _PROVING_SHARE * window
            and last.reach - first.reach < _FROZEN_SHARE * window
        )

    def _falls_behind(self, one_second: float) -> bool:
        """Return whether the owed bytes grow all the time. One large picture does not count as
        growth."""
        if not self._is_covered or self._takes(_SLOW_SHARE):
            return False
        middle = self._samples[-1].at - STALL_SECONDS / 2
        older = min(s.owed for s in self._samples if s.at <= middle)
        newer = min(s.owed for s in self._samples if s.at > middle)
        return newer - older >= _GROWTH_SECONDS * one_second

    def _is_losing(self, window: float) -> bool:
        """Return whether bytes were given up as too late in both halves of the window."""
        middle = self._samples[len(self._samples) // 2].lost
        first, last = self._samples[0].lost, self._samples[-1].lost
        return self._is_covered and first < middle < last and last - first >= _FROZEN_SHARE * window
