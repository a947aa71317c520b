"""Formats and access units in, the framed parts of a leg out.

Parts have steady times: :mod:`sluice_media.timeline.source_clock` removes a jump of the source's
clock here, once, so that no hub has to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.publishing.parts import LegForm, Part, SoundEntries
from sluice_media.timeline.framing import encode_unit
from sluice_media.timeline.leg_framing import (
    CONTENT_TYPE,
    VIDEO_TRACK,
    encode_formats,
    encode_rejection,
)
from sluice_media.timeline.source_clock import SourceClock

UNITS = LegForm("units", CONTENT_TYPE, preamble=encode_formats(()))


class UnitParts:
    """Makes the parts of one publisher. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._source = SourceClock()
        self._sounds = SoundEntries()
        self._has_video = False
        self._said: tuple[Sequence[TrackFormat], bool | None, str] = ((), None, "")

    def formats(
        self, formats: Sequence[TrackFormat], has_video: bool | None, left_out: str = ""
    ) -> Part:
        self._said = formats, has_video, left_out
        self._has_video = any(format_.track == VIDEO_TRACK for format_ in formats)
        return Part(encode_formats(*self._said), header="format")

    def unit(self, unit: AccessUnit) -> Part | None:
        """Return the unit as a part; None: it is sound that overlaps what came before a jump."""
        steady = self._source.take(unit, self._clock(), lead=VIDEO_TRACK)
        if steady is None:
            return None
        unit = steady
        random_access = unit.is_random_access
        if unit.track != VIDEO_TRACK:
            random_access = not self._has_video and self._sounds.begins(unit.dts)
        return Part(encode_unit(unit), unit.dts, random_access)

    def picture_comes(self) -> bytes:
        """A notice that a picture is on its way; nothing to keep."""
        return encode_formats(*self._said, picture_comes=True)

    def rejection(self, reason: str, message: str) -> Part:
        return Part(encode_rejection(reason, message))
