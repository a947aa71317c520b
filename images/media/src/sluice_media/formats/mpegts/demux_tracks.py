"""Tracks of a transport stream: their interface, and the AAC track (PES payloads in, units out).

A damaged unit is dropped and counted. The unit after it has DISCONTINUITY.

Source: ISO/IEC 14496-3:2019, clause 1.A.3.2 (ADTS) and 1.6.2.1 (AudioSpecificConfig).
"""

from __future__ import annotations

import re
from typing import Protocol

from sluice_media.formats.codecs import CodecError, aac
from sluice_media.formats.codecs.aac import ADTS_HEADER_BYTES
from sluice_media.formats.codecs.sample_clock import SampleClock
from sluice_media.formats.mpegts.pes_reader import PesHeader, TimestampClock
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags

_MAX_CARRY_BYTES = (1 << 13) - 1
"""Size of the largest ADTS frame."""
_CRC_BYTES = 2
_SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
"""Syncword and layer 0; MPEG-2 or MPEG-4, with or without CRC."""


class Track(Protocol):
    """Converter of one track's PES payloads to units."""

    max_pes_bytes: int
    """Maximum size of a PES packet with its header."""
    damaged: bool
    """True when units before the next one are missing."""
    dropped_units: int
    """Number of dropped units."""

    def take(
        self, packet: bytearray, header: PesHeader, utc_us: int, *, ends: bool | None
    ) -> list[_Event]:
        """Take a whole PES packet; return the complete events.

        ``ends`` states whether the packet's last unit ends with it; None when this is unknown.
        """

    def flush(self, utc_us: int) -> list[_Event]:
        """Return the events that waited for the end of the stream."""

    def begins_unit(self, payload: bytes, start: int) -> bool:
        """Return whether a PES payload begins with a unit."""

    def lose(self) -> None:
        """Note that bytes are missing."""

    @property
    def kept_bytes(self) -> int:
        """Number of bytes of a unit that continues in the next packet."""


_Event = TrackFormat | AccessUnit


class AudioTrack:
    """Track of AAC in ADTS. A PES packet may have several frames, and a frame may continue in the
    next."""

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

    @property
    def kept_bytes(self) -> int:
        return len(self._carry)

    def flush(self, utc_us: int) -> list[_Event]:
        return []

    def begins_unit(self, payload: bytes, start: int) -> bool:
        return True

    def take(
        self, packet: bytearray, header: PesHeader, utc_us: int, *, ends: bool | None
    ) -> list[_Event]:
        given = None if header.pts_90khz is None else self._clock.unwrap(header.pts_90khz)
        if self._carry and self._begins_with_frame(packet, header.payload_start):
            self.lose()  # the carried frame has no end
            self.dropped_units += 1
        carried = len(self._carry)
        data = self._carry + packet[header.payload_start :]
        events: list[_Event] = []
        at = 0
        while at + ADTS_HEADER_BYTES <= len(data):
            size = _frame_bytes(data, at)
            end = at + size
            if not size or (self._searching and not _is_boundary(data, end)):
                if not self._searching:
                    self.lose()
                    self._searching = True
                    self.dropped_units += 1
                at = _find_header(data, at + 1)
                continue
            if end > len(data):
                break
            self._searching = False
            # The PTS is that of the first frame that begins in the packet (2.4.3.7).
            starts_here = at >= carried
            self._frame(data[at:end], given if starts_here else None, utc_us, events)
            if starts_here:
                given = None
            at = end
        self._carry = bytes(data[at : at + _MAX_CARRY_BYTES])
        return events

    def _begins_with_frame(self, packet: bytearray, at: int) -> bool:
        """Return whether the payload begins with a header like the earlier ones. Its 28 bits do not
        occur by chance in the middle of a frame."""
        if len(packet) < at + ADTS_HEADER_BYTES or not _frame_bytes(packet, at):
            return False
        return _config(packet, at) == self._config

    def _frame(self, frame: bytes, given: int | None, utc_us: int, events: list[_Event]) -> None:
        """Append the events of a whole frame with its header. ``given``: its unwrapped PTS, if the
        packet states it."""
        try:
            config = _config_of(frame)
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
        payload = frame[_header_bytes(frame, 0) :]
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
    """Return whether a header or the end of the data follows at ``at``, the end of a found frame:
    0xFFF alone occurs by chance once in 4096 bytes."""
    if at == len(data):
        return True
    return at + ADTS_HEADER_BYTES <= len(data) and _frame_bytes(data, at) > 0


def _frame_bytes(data: bytes | bytearray, at: int) -> int:
    """Return the size of the frame with the ADTS header at ``at``; 0 when there is no header.

    ``data`` must have 7 bytes there.
    """
    if data[at] != 0xFF or data[at + 1] & 0xF6 != 0xF0:  # syncword, layer 0
        return 0
    size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
    return size if size > _header_bytes(data, at) else 0


def _header_bytes(data: bytes | bytearray, at: int) -> int:
    """Return the size of the header: 7, or 9 with a CRC."""
    crc = 0 if data[at + 1] & 1 else _CRC_BYTES
    return ADTS_HEADER_BYTES + crc


def _config_of(frame: bytes) -> bytes:
    """Return the AudioSpecificConfig of a frame's header.

    Raises CodecError for a frame with several raw data blocks, which only a decoder can separate.
    """
    if frame[6] & 3:
        raise CodecError("an ADTS frame has several raw data blocks")
    return _config(frame, 0)


def _config(data: bytes | bytearray, at: int) -> bytes:
    object_type = (data[at + 2] >> 6) + 1
    rate_index = data[at + 2] >> 2 & 0xF
    channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
    return (object_type << 11 | rate_index << 7 | channels << 3).to_bytes(2, "big")


def _find_header(data: bytes | bytearray, start: int) -> int:
    """Return the next possible header at or after ``start``; the end of ``data`` without one."""
    found = _SYNC.search(data, start)
    return found.start() if found else len(data)
