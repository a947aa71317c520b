"""PES payloads in; track formats and access units in sample form out, one object per track.

A damaged unit is left out and counted, its successor carries DISCONTINUITY.
"""

from __future__ import annotations

from typing import Protocol

from sluice_media.codecs import CodecError, aac, h264, hevc
from sluice_media.codecs.aac import ADTS_HEADER_BYTES
from sluice_media.codecs.parameter_sets import AvcParameterSets, HevcParameterSets, ParameterSets
from sluice_media.codecs.sample_clock import SampleClock
from sluice_media.mpegts import adts
from sluice_media.mpegts.annexb import iter_annexb
from sluice_media.mpegts.pes_reader import PesHeader, TimestampClock
from sluice_media.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags

__all__ = ["AudioTrack", "Track", "VideoTrack"]

_H264_SETS = frozenset({h264.NAL_SPS, h264.NAL_PPS})
_H264_DROPPED = frozenset({h264.NAL_ACCESS_UNIT_DELIMITER, 12})
"""Delimiters and filler data: of no use without a byte stream or a constant bit rate."""
_HEVC_SETS = frozenset({hevc.NAL_VPS, hevc.NAL_SPS, hevc.NAL_PPS})
_HEVC_DROPPED = frozenset({hevc.NAL_ACCESS_UNIT_DELIMITER, 38})
_LENGTH_BYTES = 4
_MAX_CARRY_BYTES = (1 << 13) - 1
"""The largest ADTS frame."""


class Track(Protocol):
    max_pes_bytes: int
    """Limit of a PES packet, its header included."""
    damaged: bool
    """The next unit is not the successor of the last."""
    dropped_units: int

    def take(self, packet: bytearray, header: PesHeader, utc_us: int) -> list[_Event]:
        """What a whole PES packet holds."""

    def lose(self) -> None:
        """Something is missing here."""


_Event = TrackFormat | AccessUnit


class VideoTrack:
    """H.264 or HEVC, one access unit in a PES packet."""

    max_pes_bytes = 16 << 20

    def __init__(self, track: int, codec: Codec, clock: TimestampClock) -> None:
        self._track = track
        self._codec = codec
        self._clock = clock
        self._format: TrackFormat | None = None
        self._sets: ParameterSets
        if codec is Codec.H264:
            self._sets = AvcParameterSets()
            self._set_types, self._dropped_types = _H264_SETS, _H264_DROPPED
            self._shift, self._mask = 0, 0x1F
            self._is_random_access = h264.is_random_access
        else:
            self._sets = HevcParameterSets()
            self._set_types, self._dropped_types = _HEVC_SETS, _HEVC_DROPPED
            self._shift, self._mask = 1, 0x3F
            self._is_random_access = hevc.is_random_access
        self.damaged = False
        self.dropped_units = 0

    def lose(self) -> None:
        self.damaged = True

    def take(self, packet: bytearray, header: PesHeader, utc_us: int) -> list[_Event]:
        if header.dts_90khz is None:
            self._drop()
            return []
        dts = self._clock.unwrap(header.dts_90khz)
        events: list[_Event] = []
        try:
            payload, sets = self._sample(packet, header.payload_start)
            if sets:
                events += self._configure(sets)
            if payload and self._format is None:
                self.dropped_units += 1  # a decoder could do nothing with it
                return []
            random_access = self._is_random_access(payload, _LENGTH_BYTES)
        except CodecError:
            self._drop()
            return []
        if payload:
            flags = UnitFlags.DISCONTINUITY if self.damaged else UnitFlags.NONE
            self.damaged = False
            if random_access:
                flags |= UnitFlags.RANDOM_ACCESS
            pts = dts + header.composition
            events.append(AccessUnit(self._track, dts, pts, flags, utc_us, payload))
        return events

    def _drop(self) -> None:
        self.dropped_units += 1
        self.damaged = True

    def _sample(self, packet: bytearray, start: int) -> tuple[bytes, list[tuple[int, bytes]]]:
        """The sample form without parameter sets, and the parameter sets."""
        parts: list[bytes | memoryview] = []
        sets: list[tuple[int, bytes]] = []
        shift, mask = self._shift, self._mask
        for nal in iter_annexb(packet, start):
            nal_type = (nal[0] >> shift) & mask
            if nal_type in self._set_types:
                sets.append((nal_type, bytes(nal)))
            elif nal_type not in self._dropped_types:
                parts.append(len(nal).to_bytes(_LENGTH_BYTES, "big"))
                parts.append(nal)
        return b"".join(parts), sets

    def _configure(self, sets: list[tuple[int, bytes]]) -> list[_Event]:
        if not self._sets.take(sets):
            return []
        config = self._sets.config()
        if config is None:
            return []
        parsed: h264.AvcConfig | hevc.HevcConfig
        is_h264 = self._codec is Codec.H264
        parsed = h264.parse_avcc(config) if is_h264 else hevc.parse_hvcc(config)
        found = TrackFormat(
            self._track, TrackKind.VIDEO, self._codec, config, parsed.width, parsed.height
        )
        if found == self._format:
            return []
        self._format = found
        return [found]


class AudioTrack:
    """AAC in ADTS; frames may be several in a PES packet, and may go on in the next one."""

    max_pes_bytes = 1 << 20

    def __init__(self, track: int, clock: TimestampClock) -> None:
        self._track = track
        self._clock = clock
        self._config = b""
        self._samples: SampleClock | None = None
        self._carry = b""
        self._searching = False
        self.damaged = False
        self.dropped_units = 0

    def lose(self) -> None:
        self.damaged = True
        self._carry = b""
        if self._samples is not None:
            self._samples.reset()

    def take(self, packet: bytearray, header: PesHeader, utc_us: int) -> list[_Event]:
        given = None if header.pts_90khz is None else self._clock.unwrap(header.pts_90khz)
        if self._carry and self._begins_with_frame(packet, header.payload_start):
            self.lose()  # what was carried has no end
            self.dropped_units += 1
        carried = len(self._carry)
        data = self._carry + packet[header.payload_start :]
        events: list[_Event] = []
        at = 0
        while at + ADTS_HEADER_BYTES <= len(data):
            size = adts.adts_frame_bytes(data, at)
            end = at + size
            if not size or (self._searching and not _is_boundary(data, end)):
                if not self._searching:
                    self.lose()
                    self._searching = True
                    self.dropped_units += 1
                at = adts.find_adts(data, at + 1)
                continue
            if end > len(data):
                break
            self._searching = False
            # The PTS is that of the first frame that begins in the packet (2.4.3.7).
            starts_here = at >= carried
            self._frame(data, at, end, given if starts_here else None, utc_us, events)
            if starts_here:
                given = None
            at = end
        self._carry = bytes(data[at : at + _MAX_CARRY_BYTES])
        return events

    def _begins_with_frame(self, packet: bytearray, at: int) -> bool:
        """Whether the payload begins with a header like the ones before: 28 bits, by chance never
        the middle of a frame."""
        if len(packet) < at + ADTS_HEADER_BYTES or not adts.adts_frame_bytes(packet, at):
            return False
        return adts.same_config(packet, at, self._config)

    def _frame(
        self,
        data: bytes,
        at: int,
        end: int,
        given: int | None,
        utc_us: int,
        events: list[_Event],
    ) -> None:
        try:
            config = adts.adts_config(data, at)
            if config != self._config:
                events.append(self._configure(config))
        except CodecError:
            self.dropped_units += 1
            self.damaged = True
            return
        dts = self._samples.stamp(given) if self._samples is not None else None
        if dts is None:
            self.dropped_units += 1
            self.damaged = True
            return
        flags = UnitFlags.DISCONTINUITY if self.damaged else UnitFlags.NONE
        self.damaged = False
        payload = bytes(data[at + adts.adts_header_bytes(data, at) : end])
        events.append(AccessUnit(self._track, dts, dts, flags, utc_us, payload))

    def _configure(self, config: bytes) -> TrackFormat:
        parsed = aac.parse_asc(config)
        self._config = config
        self._samples = SampleClock(parsed)
        return TrackFormat(
            self._track,
            TrackKind.AUDIO,
            Codec.AAC,
            config,
            sample_rate=parsed.sample_rate,
            channels=parsed.channels,
        )


def _is_boundary(data: bytes, at: int) -> bool:
    """Whether a frame that was searched for ends where it should: 0xFFF alone is found by chance
    once in 4096 bytes."""
    if at == len(data):
        return True
    return at + ADTS_HEADER_BYTES <= len(data) and adts.adts_frame_bytes(data, at) > 0
