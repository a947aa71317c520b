"""Times of audio frames counted in samples: containers round them, and the error would be heard."""

from __future__ import annotations

from typing import overload

from sluice_media.formats.codecs import aac
from sluice_media.formats.units import TICKS_PER_SECOND

_RESYNC_TICKS = TICKS_PER_SECOND * 2 // 1000


class SampleClock:
    """Times of audio frames by their number of samples, set anew when more than 2 ms off.

    Streams that came through FLV have times in whole milliseconds; others round down.
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
        """The time of the next frame, of which the stream says ``given`` (90 kHz; None: nothing).
        None: not known."""
        if self._base is not None:
            counted = self._base + self._frames * self._frame_ticks // self._rate
            if given is None or abs(given - counted) <= _RESYNC_TICKS:
                self._frames += 1
                return counted
        self._base = given
        self._frames = 1
        return given

    def reset(self) -> None:
        """Frames are missing: the next one's time must be said."""
        self._base = None
