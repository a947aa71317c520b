"""The pace of a pulled source: media is handed on as fast as it plays.

HLS arrives in bursts of one segment, and the hub would take the pauses for silence. A file on a web
server arrives at a hundred times its speed. In: MPEG-TS as FFmpeg writes it. Out: the same packets,
each not before its time by the program clock (ISO/IEC 13818-1, 2.4.3.5). While packets wait, the
caller does not read more. So the pipe, FFmpeg and at last the source slow down.

The pacer is a token bucket of media time. It fills at 1.05 times real time, to catch up after a
hole. It holds half a second, so jitter passes unchanged.
"""

from __future__ import annotations

PACKET_BYTES = 188
RATE = 1.05
BURST_SECONDS = 0.5
MAX_STEP_SECONDS = 10.0
"""Maximum step of the program clock. A larger step, or one back, counts as a new clock."""
MIN_WAIT_SECONDS = 0.002
_CLOCK_HZ = 27_000_000


class Pacer:
    """The pace of one source. Sans-io: the caller sleeps."""

    def __init__(self) -> None:
        self._data = b""
        self._clock: float | None = None
        self._credit = BURST_SECONDS
        self._at: float | None = None

    def add(self, data: bytes) -> None:
        """Append what FFmpeg wrote."""
        self._data += data

    def take(self, now: float) -> tuple[bytes, float]:
        """Return the whole packets that are due, and the seconds until the next one.

        ``now`` is in monotonic seconds. The seconds are 0 when no packet waits.
        """
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
                # A step larger than the bucket passes when the bucket is full, and leaves a debt.
                if self._credit < min(step, BURST_SECONDS):
                    wait = (min(step, BURST_SECONDS) - self._credit) / RATE
                    # Without a minimum, waits below the clock's resolution would spin.
                    wait = max(wait, MIN_WAIT_SECONDS)
                    break
                self._credit -= step
                self._clock = clock
            at += PACKET_BYTES
        self._data = data[at:]
        return data[:at], wait


def _pcr(data: bytes, at: int) -> float:
    """Return the program clock reference at this offset, in seconds."""
    base = int.from_bytes(data[at : at + 4], "big") << 1 | data[at + 4] >> 7
    extension = (data[at + 4] & 1) << 8 | data[at + 5]
    return (base * 300 + extension) / _CLOCK_HZ
