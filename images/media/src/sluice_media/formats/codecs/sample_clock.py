"""Times of audio frames, counted in samples. Containers round the times, which is audible."""

from __future__ import annotations

from typing import overload

from sluice_media.formats.codecs import aac
from sluice_media.formats.units import TICKS_PER_SECOND

_RESYNC_TICKS = TICKS_PER_SECOND * 2 // 1000


class SampleClock:
    """Clock that counts an audio track's samples, reset when it is more than 2 ms off.

    Times of streams that came through FLV are whole milliseconds; other containers round down.
    """

    __slots__ = ("_base", "_frame_ticks", "_frames", "_rate")

    def __init__(self, config: aac.AacConfig) -> None:
        self._rate = config.sample_rate
        self._frame_ticks = config.samples_per_frame * TICKS_PER_SECOND
        self._base: int | None = None
        self._frames = 0

    @overload
    def stamp(self, given: int) -> int: ...

    @overload
    def stamp(self, given: None) -> int | None: ...

    def stamp(self, given: int | None) -> int | None:
        """Return the time of the next frame (90 kHz); None when it is not known.

        ``given`` is the frame's time in the stream, or None when the stream has none.
        """
        if self._base is not None:
            counted = self._base + self._frames * self._frame_ticks // self._rate
            if given is None or abs(given - counted) <= _RESYNC_TICKS:
                self._frames += 1
                return counted
        self._base = given
        self._frames = 1
        return given

    def reset(self) -> None:
        """Note that frames are missing: the next frame needs a time from the stream."""
        self._base = None
