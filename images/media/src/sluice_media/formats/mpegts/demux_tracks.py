"""What a track of a transport stream has to do, and that of AAC: PES payloads in; formats and
units out.

A damaged unit is left out and counted, its successor carries DISCONTINUITY.
"""

from __future__ import annotations

from typing import Protocol

from sluice_media.formats.codecs import CodecError, aac
from sluice_media.formats.codecs.aac import ADTS_HEADER_BYTES
from sluice_media.formats.codecs.sample_clock import SampleClock
from sluice_media.formats.mpegts import adts
from sluice_media.formats.mpegts.pes_reader import PesHeader, TimestampClock
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags

_MAX_CARRY_BYTES = (1 << 13) - 1
"""The largest ADTS frame."""


class Track(Protocol):
    max_pes_bytes: int
    """Limit of a PES packet, its header included."""
    damaged: bool
    """The next unit is not the successor of the last."""
    dropped_units: int

    def take(
        self, packet: bytearray, header: PesHeader, utc_us: int, *, ends: bool | None
    ) -> list[_Event]:
        """What is complete with a whole PES packet. ``ends``: whether its last unit ends with it;
        None: nobody knows."""

    def flush(self, utc_us: int) -> list[_Event]:
        """What waits for its end, which has come."""

    def begins_unit(self, payload: bytes, start: int) -> bool:
        """Whether a PES payload begins where a unit begins."""

    def lose(self) -> None:
        """Something is missing here."""

    @property
    def kept_bytes(self) -> int:
        """Bytes of a unit that goes on in the next packet."""


_Event = TrackFormat | AccessUnit


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
