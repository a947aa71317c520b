"""Media is handed on as fast as it is meant to be seen, whatever the source does.

HLS comes in bursts of a segment, which the hub would take for silence, and a file on a web server
comes at a hundred times its speed. In: MPEG-TS as FFmpeg writes it. Out: the same packets, not
before their time by the program clock (ISO/IEC 13818-1, 2.4.3.5). What is held back is not read,
so that the pipe, FFmpeg and at last the source are slowed down; nothing is stored here.

A bucket of media time: it fills a little faster than real time, so that a burst after a hole is
caught up with, and holds half a second, so that jitter passes through untouched.
"""

from __future__ import annotations

PACKET_BYTES = 188
RATE = 1.05
BURST_SECONDS = 0.5
MAX_STEP_SECONDS = 10.0
"""A larger step of the clock, or one back, is another clock and not time."""
MIN_WAIT_SECONDS = 0.002
_CLOCK_HZ = 27_000_000


class Pacer:
    """One source. Sans-io: the caller sleeps."""

    def __init__(self) -> None:
        self._data = b""
        self._clock: float | None = None
        self._credit = BURST_SECONDS
        self._at: float | None = None

    def add(self, data: bytes) -> None:
        self._data += data

    def take(self, now: float) -> tuple[bytes, float]:
        """The whole packets whose time has come by the monotonic ``now``, and how many seconds
        to wait for the next; 0 when none is held."""
        if self._at is not None:
            self._credit = min(BURST_SECONDS, self._credit + (now - self._at) * RATE)
        self._at = now
        data, at = self._data, 0
        last = len(data) - PACKET_BYTES
        wait = 0.0
        while at <= last:
            if data[at + 3] & 0x20 and data[at + 4] > 6 and data[at + 5] & 0x10:
                clock = _pcr(data, at + 6)
                step = 0.0 if self._clock is None else clock - self._clock
                if not 0 <= step <= MAX_STEP_SECONDS:
                    step = 0.0
                # A step larger than the bucket goes when the bucket is full, and leaves a debt.
                if self._credit < min(step, BURST_SECONDS):
                    wait = (min(step, BURST_SECONDS) - self._credit) / RATE
                    # Less than a clock can tell apart would be asked for again and again.
                    wait = max(wait, MIN_WAIT_SECONDS)
                    break
                self._credit -= step
                self._clock = clock
            at += PACKET_BYTES
        self._data = data[at:]
        return data[:at], wait


def _pcr(data: bytes, at: int) -> float:
    """Seconds of the program clock reference at this place."""
    base = int.from_bytes(data[at : at + 4], "big") << 1 | data[at + 4] >> 7
    extension = (data[at + 4] & 1) << 8 | data[at + 5]
    return (base * 300 + extension) / _CLOCK_HZ
