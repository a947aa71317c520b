"""Cutter of access units: payloads of PES packets in, access units of H.264 and HEVC out (sans-io).

Payloads come in, in their order, each with its times and a flag that states whether a unit ends at
its end. Access units go out, each with its own times.

Most multiplexers write one access unit in a PES packet. The NAL units are then views of the packet,
and nothing is kept. Other multiplexers begin a packet anywhere, or write several units in one. Then
the bytes of a NAL unit are kept until it is complete, and a unit is kept until the next one begins.
The times of a packet belong to the first unit that begins in it.

Sources: Rec. ITU-T H.264 clauses 7.4.1.2.3 and 7.4.1.2.4, Rec. ITU-T H.265 clause 7.4.2.4.4 (start
of an access unit); ISO/IEC 13818-1:2019 clause 2.4.3.7 (unit to which the times belong).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sluice_media.formats.codecs import CodecError
from sluice_media.formats.codecs.slices import SLICE_HEAD_BYTES, Slices
from sluice_media.formats.mpegts.annexb import MAX_NAL_UNITS, iter_annexb, without_padding
from sluice_media.formats.units import Codec

_START_CODE = b"\x00\x00\x01"
_MAX_UNIT_BYTES = 16 << 20
_AVC_SLICES = frozenset({1, 2, 5})
"""NAL unit types with first_mb_in_slice. Data partitions B and C (3, 4) follow their partition A
(2)."""
_AVC_BEGINS = frozenset({6, 7, 8, 9, 15, 16, 17, 18})
"""NAL unit types that begin a unit. The prefix NAL unit (14) does not: a scalable stream has one
before each slice."""
_HEVC_SLICES = frozenset({*range(10), *range(16, 22)})
_HEVC_BEGINS = frozenset({32, 33, 34, 35, 39, *range(41, 45), *range(48, 56)})
_AVC_DELIMITER, _HEVC_DELIMITER = 9, 35


@dataclass(slots=True)
class UnitTimes:
    """Times in a PES packet's header, for the first unit that begins in the packet; 90 kHz,
    unwrapped."""

    pts: int | None
    dts: int | None
    taken: bool = False
    """True when a unit has got these times."""


@dataclass(slots=True)
class CutUnit:
    """One access unit, complete or in the making."""

    times: UnitTimes | None
    """Times of the unit; None when the stream has none for it."""
    utc_us: int = 0
    """Time of arrival of the last byte."""
    nals: list[tuple[int, memoryview | bytes]] = field(default_factory=list)
    """NAL unit types and NAL units, without padding."""
    size: int = 0
    """Size of the NAL units, in bytes."""
    head: bytes = b""
    """First bytes of the first slice; empty before it."""
    next_at: int | None = None
    """Index of the first NAL unit that belongs to the next unit, if the next slice belongs to it.
    SEI messages may come between the slices of a picture, and delimiters between the fields of a
    frame."""
    next_times: UnitTimes | None = None


class UnitCutter:
    """Cutter of one video stream, with the bytes and the unit that are not complete."""

    def __init__(self, codec: Codec, slices: Slices) -> None:
        is_avc = codec is Codec.H264
        self._slices = slices
        self._shift, self._mask = (0, 0x1F) if is_avc else (1, 0x3F)
        self._slice_types = _AVC_SLICES if is_avc else _HEVC_SLICES
        self._begin_types = _AVC_BEGINS if is_avc else _HEVC_BEGINS
        self._delimiter = _AVC_DELIMITER if is_avc else _HEVC_DELIMITER
        self._is_avc = is_avc
        self._unit: CutUnit | None = None
        self._kept = bytearray()
        """Bytes of the NAL unit that is not complete, from its start code on."""
        self._kept_times: UnitTimes | None = None
        """Times of the packet in which the kept NAL unit begins."""
        self._last_times: UnitTimes | None = None
        """Times of the last packet."""
        self._scanned = 0
        """Position in the kept bytes before which only the first start code begins."""
        self._at_start = False
        """True when the kept NAL unit is the first of its packet."""
        self._begun = False
        """True when the kept NAL unit has been assigned to a unit."""
        self._searching = True
        """True while the beginning of a picture is missing. Its other slices are then dropped."""
        self.ragged = False
        """True when packets begin anywhere."""
        self.skipped = 0
        """Number of packets with bytes before the first known start of a NAL unit."""

    @property
    def kept_bytes(self) -> int:
        """Number of bytes of the NAL unit that is not complete."""
        return len(self._kept)

    @property
    def has_picture(self) -> bool:
        """True while a unit with a picture waits for the next unit to begin."""
        return self._unit is not None and bool(self._unit.head) and self._unit.next_at is None

    def begins_unit(self, payload: bytes | bytearray, start: int) -> bool:
        """Return whether a payload begins with the start of an access unit."""
        at = payload.find(_START_CODE, start, start + 8)
        head = at + 3
        if at < 0 or payload.count(0, start, at) != at - start or len(payload) < head + 3:
            return False
        nal_type = payload[head] >> self._shift & self._mask
        if nal_type in self._begin_types:
            return True
        first = payload[head + self._slices.first_slice_byte] & 0x80
        return nal_type in self._slice_types and bool(first)

    def feed(
        self, packet: bytearray, start: int, times: UnitTimes, utc_us: int, *, ends: bool
    ) -> list[CutUnit]:
        """Take a payload; return the complete units.

        ``ends`` is True when a NAL unit and its access unit end with the payload. Raises CodecError
        for more NAL units or bytes than an access unit can have; the caller then calls
        :meth:`reset`.
        """
        out: list[CutUnit] = []
        if not ends or self._kept:
            self._scan(packet[start:], times, utc_us, out, ends=ends)
        elif start < len(packet):
            at = packet.find(_START_CODE, start)
            if at < 0 or packet.count(0, start, at) != at - start:
                self._lose_place()
            at_start = True
            for nal in iter_annexb(packet, at) if at >= 0 else ():
                self._begin(nal, times, out, at_start=at_start)
                self._end(nal, utc_us)
                at_start = False
        self._last_times = times
        if ends and self._unit is not None and self._unit.head:
            self._cut(out)
        return out

    def flush(self, utc_us: int) -> list[CutUnit]:
        """Return the last units, because the stream has ended."""
        return self.feed(bytearray(), 0, UnitTimes(None, None, taken=True), utc_us, ends=True)

    def reset(self) -> None:
        """Forget all kept bytes and units, because bytes are missing."""
        self._unit = None
        self._kept = bytearray()
        self._scanned = 0
        self._searching = True

    # ------------------------------------------------------------------ NAL units

    def _scan(
        self, data: bytearray, times: UnitTimes, utc_us: int, out: list[CutUnit], *, ends: bool
    ) -> None:
        kept = self._kept
        border = len(kept)
        kept += data
        if len(kept) > _MAX_UNIT_BYTES:
            raise CodecError(f"a NAL unit is longer than {_MAX_UNIT_BYTES} bytes")
        at = 0
        if not border:
            at = kept.find(_START_CODE)
            if at < 0 or kept.count(0, 0, at) != at:
                self._lose_place()
            if at < 0:
                # A start code may continue in the next packet.
                zeros = 0 if ends else min(2, len(kept) - len(kept.rstrip(b"\x00")))
                self._kept = bytearray(zeros)
                return
            self._kept_times, self._at_start, self._begun = times, True, False
        elif kept[:3] != _START_CODE:
            at = self._resume(times)
            if at < 0:
                return
        following = kept.find(_START_CODE, max(at + 3, self._scanned))
        while following >= 0:
            # A zero byte before the three bytes belongs to the start code (B.1.2).
            begins_at = following - (kept[following - 1] == 0)
            nal = bytes(kept[at + 3 : without_padding(kept, at + 3, following)])
            self._kept_nal(nal, utc_us, out)
            self._kept_times = times if begins_at >= border else self._last_times
            self._at_start = border <= begins_at <= border + 1
            self._begun = False
            at = following
            following = kept.find(_START_CODE, at + 3)
        if ends:
            nal = bytes(kept[at + 3 : without_padding(kept, at + 3, len(kept))])
            self._kept_nal(nal, utc_us, out)
            self._kept = bytearray()
            self._scanned = 0
            return
        del kept[:at]
        self._scanned = max(3, len(kept) - 2)
        if not self._begun and len(kept) >= 3 + SLICE_HEAD_BYTES:
            self._begun = True
            head = bytes(kept[3 : 3 + SLICE_HEAD_BYTES])
            self._begin(head, self._kept_times, out, at_start=self._at_start)

    def _resume(self, times: UnitTimes) -> int:
        """Return the position of the next start code in the kept bytes; -1 without one.

        Its first zeros may have come with an earlier payload.
        """
        at = self._kept.find(_START_CODE)
        if at < 0 or self._kept.count(0, 0, at) != at:
            self._lose_place()
        if at < 0:
            self._kept.clear()
            return -1
        self._kept_times, self._at_start, self._begun = times, True, False
        return at

    def _kept_nal(self, nal: bytes, utc_us: int, out: list[CutUnit]) -> None:
        if not nal:
            return
        if not self._begun:
            self._begin(nal, self._kept_times, out, at_start=self._at_start)
        self._end(nal, utc_us)

    def _lose_place(self) -> None:
        self.skipped += 1
        self._searching = True

    # ------------------------------------------------------------------ access units

    def _begin(
        self,
        nal: memoryview | bytes,
        times: UnitTimes | None,
        out: list[CutUnit],
        *,
        at_start: bool,
    ) -> None:
        """Assign a NAL unit to an access unit, by its first bytes."""
        unit = self._unit
        nal_type = nal[0] >> self._shift & self._mask
        if nal_type in self._begin_types:
            self._searching = False
            if unit is not None and unit.head and unit.next_at is None:
                unit.next_at, unit.next_times = len(unit.nals), times
                if nal_type == self._delimiter and not self._slices.may_have_fields:
                    unit = self._cut(out)
        elif nal_type in self._slice_types:
            is_first = self._is_first(nal)
            if self._searching and not is_first:
                return
            self._searching = False
            if unit is not None and unit.head:
                if is_first and not self._goes_on(unit, nal, times):
                    unit = self._cut(out)
                else:
                    unit.next_at = None
            elif unit is not None and unit.times is None and at_start and not self.ragged:
                # The unit's parameter sets came in a packet of their own, without a time.
                unit.times = _take(times)
            if unit is None:
                unit = self._unit = CutUnit(_take(times))
            unit.head = unit.head or bytes(nal[:SLICE_HEAD_BYTES])
        if unit is None:
            self._unit = CutUnit(_take(times))

    def _is_first(self, nal: memoryview | bytes) -> bool:
        """Return whether a slice is the first of its picture."""
        first = self._slices.first_slice_byte
        if len(nal) <= first or not nal[first] & 0x80:
            return False
        return self._is_avc or not (nal[0] & 1 or nal[1] >> 3)  # another layer of the same unit

    def _end(self, nal: memoryview | bytes, utc_us: int) -> None:
        """Add a complete NAL unit to its access unit."""
        unit = self._unit
        if unit is None:
            return
        nal_type = nal[0] >> self._shift & self._mask
        if self._searching and nal_type in self._slice_types:
            return
        if len(unit.nals) >= MAX_NAL_UNITS:
            raise CodecError(f"a picture has more than {MAX_NAL_UNITS} NAL units")
        unit.size += len(nal)
        if unit.size > _MAX_UNIT_BYTES:
            raise CodecError(f"a picture is longer than {_MAX_UNIT_BYTES} bytes")
        unit.nals.append((nal_type, nal))
        unit.utc_us = utc_us

    def _goes_on(self, unit: CutUnit, nal: memoryview | bytes, times: UnitTimes | None) -> bool:
        """Return whether the slice begins the second field of the unit's frame, without a time of
        its own."""
        if not self._slices.may_have_fields:
            return False
        own = unit.next_times if unit.next_at is not None else times
        if own is not None and not own.taken and own.pts is not None:
            return False
        return self._slices.is_second_field(unit.head, bytes(nal[:SLICE_HEAD_BYTES]))

    def _cut(self, out: list[CutUnit]) -> CutUnit | None:
        """Append the unit to ``out``; return the next unit if it has begun."""
        unit, self._unit = self._unit, None
        if unit is None:
            return None
        if unit.next_at is not None and unit.next_at < len(unit.nals):
            rest = unit.nals[unit.next_at :]
            del unit.nals[unit.next_at :]
            size = sum(len(nal) for _, nal in rest)
            self._unit = CutUnit(_take(unit.next_times), unit.utc_us, rest, size)
        out.append(unit)
        return self._unit


def _take(times: UnitTimes | None) -> UnitTimes | None:
    """Return the times for the first unit that begins in their packet, and None for later units."""
    if times is None or times.taken:
        return None
    times.taken = True
    return times
