"""The records of a leg: formats and access units in, framed records out.

The records have steady times: :mod:`sluice_media.timeline.source_clock` removes a jump of the
source's clock here, once, so that no hub has to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sluice_media.formats.codecs.aac import FRAME_LIMIT_BYTES
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.timeline.framing import encode_unit
from sluice_media.timeline.leg_framing import VIDEO_TRACK, encode_formats, encode_rejection
from sluice_media.timeline.source_clock import SourceClock

_SOUND_GROUP_TICKS = 90_000
_NOTICE_SECONDS = 0.1
"""Half of the shortest ``stallMilliseconds``."""


@dataclass(slots=True)
class LegRecord:
    """One framed record. It is not frozen: there is one for every frame, and this is faster."""

    data: bytes = field(repr=False)
    dts: int | None = None
    """Source DTS (90 kHz, unwrapped). None when the record is not a unit."""
    random_access: bool = False
    """True when decoding can start here. Without video, one unit of sound a second is marked."""
    is_format: bool = False
    """True for a format record, which a decoder needs before all later units."""


class LegEncoder:
    """Encodes the media of one publisher. ``clock`` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._source = SourceClock()
        self._has_video = False
        self._last_sound_group: int | None = None
        self._formats: tuple[Sequence[TrackFormat], bool | None, str] = ((), None, "")

    def formats(
        self, formats: Sequence[TrackFormat], has_video: bool | None, left_out: str = ""
    ) -> LegRecord:
        """Return the record for all tracks of the publisher; see Publication.take_formats."""
        self._formats = formats, has_video, left_out
        self._has_video = any(format_.track == VIDEO_TRACK for format_ in formats)
        return LegRecord(encode_formats(*self._formats), is_format=True)

    def unit(self, unit: AccessUnit) -> LegRecord | None:
        """Return the record of a unit; None for sound that overlaps the media before a jump."""
        steady = self._source.take(unit, self._clock(), lead=VIDEO_TRACK)
        if steady is None:
            return None
        random_access = steady.is_random_access
        if steady.track != VIDEO_TRACK:
            random_access = not self._has_video and self._begins_sound_group(steady.dts)
        return LegRecord(encode_unit(steady), steady.dts, random_access)

    def picture_comes(self) -> bytes:
        """Return the notice of an incomplete picture. It is not kept for the next hub."""
        return encode_formats(*self._formats, picture_comes=True)

    def rejection(self, reason: str, message: str) -> LegRecord:
        """Return the record that ends the leg because its media cannot be carried."""
        return LegRecord(encode_rejection(reason, message))

    def _begins_sound_group(self, dts: int) -> bool:
        last = self._last_sound_group
        if last is not None and 0 <= dts - last < _SOUND_GROUP_TICKS:
            return False
        self._last_sound_group = dts
        return True


class PictureNotices:
    """Decides when to notify the hub that a picture is arriving.

    Only complete records go to the hub. Without notices, a publisher that sends a large picture
    over a slow uplink would look like one that is gone. ``clock`` returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bytes = 0
        self._notified_at = clock()

    def due(self, unfinished_bytes: int) -> bool:
        """Return whether to send a notice now.

        ``unfinished_bytes``: received bytes that are not yet a complete record. Call this for each
        read.
        """
        now = self._clock()
        before, self._bytes = self._bytes, unfinished_bytes
        if unfinished_bytes <= before:
            self._notified_at = now  # a record became complete and went to the hub
            return False
        # More bytes than a frame of sound can have belong to a picture.
        if unfinished_bytes <= FRAME_LIMIT_BYTES or now - self._notified_at < _NOTICE_SECONDS:
            return False
        self._notified_at = now
        return True
