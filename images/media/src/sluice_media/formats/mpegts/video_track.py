"""Video track of a transport stream: PES payloads in, format and access units in sample form out.

A damaged unit is dropped and counted. The unit after it has DISCONTINUITY.
"""

from __future__ import annotations

from sluice_media.formats.codecs import CodecError, h264, hevc
from sluice_media.formats.codecs.parameter_sets import (
    AvcParameterSets,
    HevcParameterSets,
    ParameterSets,
)
from sluice_media.formats.codecs.slices import AvcSlices, HevcSlices, Slices
from sluice_media.formats.mpegts.access_units import CutUnit, UnitCutter, UnitTimes
from sluice_media.formats.mpegts.pes_reader import PesHeader, TimestampClock
from sluice_media.formats.mpegts.picture_times import PictureTimes
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags

_H264_SETS = frozenset({h264.NAL_SPS, h264.NAL_PPS})
_H264_DROPPED = frozenset({h264.NAL_ACCESS_UNIT_DELIMITER, 12})
"""Delimiters and filler data, which only a byte stream or a constant bit rate needs."""
_HEVC_SETS = frozenset({hevc.NAL_VPS, hevc.NAL_SPS, hevc.NAL_PPS})
_HEVC_DROPPED = frozenset({hevc.NAL_ACCESS_UNIT_DELIMITER, 38})
_LENGTH_BYTES = 4
_ALIGNED_PACKETS = 3
"""Number of packets that begin with a unit, without an exception, after which the next packet
counts as ending with a unit."""


class VideoTrack:
    """A :class:`.demux_tracks.Track` of H.264 or HEVC."""

    max_pes_bytes = 16 << 20

    def __init__(self, track: int, codec: Codec, clock: TimestampClock) -> None:
        self._track = track
        self._codec = codec
        self._clock = clock
        self._format: TrackFormat | None = None
        self._sets: ParameterSets
        self._slices: Slices
        if codec is Codec.H264:
            self._sets, self._slices = AvcParameterSets(), AvcSlices()
            self._set_types, self._dropped_types = _H264_SETS, _H264_DROPPED
            self._is_random_access = h264.is_random_access
        else:
            self._sets, self._slices = HevcParameterSets(), HevcSlices()
            self._set_types, self._dropped_types = _HEVC_SETS, _HEVC_DROPPED
            self._is_random_access = hevc.is_random_access
        self._cutter = UnitCutter(codec, self._slices)
        self._times = PictureTimes(self._slices)
        self._aligned = 0
        """Number of packets that begin with a unit, after a picture."""
        self._cut_too_early = False
        """True when a unit continued after a packet that counted as its end."""
        self._ended = False
        """True when the last packet counted as the end of a unit."""
        self.damaged = False
        self.dropped_units = 0

    def lose(self) -> None:
        self.damaged = True
        self.dropped_units += self._cutter.has_picture
        self._cutter.reset()
        self._times.lose()
        self._ended = False

    @property
    def kept_bytes(self) -> int:
        return self._cutter.kept_bytes

    def begins_unit(self, payload: bytes, start: int) -> bool:
        return self._cutter.begins_unit(payload, start)

    def take(
        self, packet: bytearray, header: PesHeader, utc_us: int, *, ends: bool | None
    ) -> list[TrackFormat | AccessUnit]:
        start = header.payload_start
        if start >= len(packet):
            return []
        self._look(packet, start)
        if ends and self._cutter.ragged and not packet[-1]:
            ends = False  # the zero may be the first byte of the next unit's start code
        ends = self._ends(packet, header) if ends is None else ends
        pts = dts = None
        if header.dts_90khz is not None:
            dts = self._clock.unwrap(header.dts_90khz)
            pts = dts + header.composition
        skipped = self._cutter.skipped
        try:
            units = self._cutter.feed(packet, start, UnitTimes(pts, dts), utc_us, ends=ends)
        except CodecError:
            self._cutter.reset()
            self._drop()
            return []
        if self._cutter.skipped > skipped:
            self._drop()
        self._ended = ends and not self._cutter.has_picture
        return self._events(units)

    def flush(self, utc_us: int) -> list[TrackFormat | AccessUnit]:
        """Return the unit that waited for its end."""
        try:
            return self._events(self._cutter.flush(utc_us))
        except CodecError:
            self._drop()
            return []

    def _ends(self, packet: bytearray, header: PesHeader) -> bool:
        """Return whether a packet of known length counts as the end of a unit.

        The next packet has not come yet. Waiting for it would delay every picture by one frame.
        """
        if self._cut_too_early or not self._cutter.begins_unit(packet, header.payload_start):
            return False
        return header.is_aligned or (not self._cutter.ragged and self._aligned >= _ALIGNED_PACKETS)

    def _look(self, packet: bytearray, start: int) -> None:
        """Note whether the packet begins with a unit."""
        if not self._cutter.begins_unit(packet, start):
            self._cutter.ragged = True
            self._cut_too_early = self._cut_too_early or self._ended
        elif self._cutter.has_picture:
            self._aligned += 1

    def _drop(self) -> None:
        self.dropped_units += 1
        self.damaged = True

    def _events(self, units: list[CutUnit]) -> list[TrackFormat | AccessUnit]:
        events: list[TrackFormat | AccessUnit] = []
        for unit in units:
            try:
                self._unit(unit, events)
            except CodecError:
                self._drop()
        return events

    def _unit(self, unit: CutUnit, events: list[TrackFormat | AccessUnit]) -> None:
        parts: list[bytes | memoryview] = []
        sets: list[tuple[int, bytes]] = []
        for nal_type, nal in unit.nals:
            if nal_type in self._set_types:
                sets.append((nal_type, bytes(nal)))
            elif nal_type not in self._dropped_types:
                parts.append(len(nal).to_bytes(_LENGTH_BYTES, "big"))
                parts.append(nal)
        if sets:
            self._configure(sets, events)
        if self._format is None:
            self.dropped_units += 1  # a decoder cannot decode it
            return
        payload = b"".join(parts)
        random_access = self._is_random_access(payload, _LENGTH_BYTES)
        times = self._times.stamp(unit.times, unit.head)
        if times is None:
            self._drop()
            return
        flags = UnitFlags.DISCONTINUITY if self.damaged else UnitFlags.NONE
        self.damaged = False
        if random_access:
            flags |= UnitFlags.RANDOM_ACCESS
        events.append(AccessUnit(self._track, *times, flags, unit.utc_us, payload))

    def _configure(
        self, sets: list[tuple[int, bytes]], events: list[TrackFormat | AccessUnit]
    ) -> None:
        if not self._sets.take(sets):
            return
        self._slices.take_sets(sets)
        config = self._sets.config()
        if config is None:
            return
        parsed: h264.AvcConfig | hevc.HevcConfig
        is_h264 = self._codec is Codec.H264
        parsed = h264.parse_avcc(config) if is_h264 else hevc.parse_hvcc(config)
        found = TrackFormat(
            self._track, TrackKind.VIDEO, self._codec, config, parsed.width, parsed.height
        )
        if found != self._format:
            self._format = found
            events.append(found)
