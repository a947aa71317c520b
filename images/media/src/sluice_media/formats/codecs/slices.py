"""Slice headers: the order in which pictures are displayed, and the pairs of fields.

Parameter sets come in, with the first bytes of each picture's first slice, in decoding order. The
picture order count goes out. Only streams without times for some pictures need it.

Sources: Rec. ITU-T H.264 clauses 7.3.3 (slice header), 8.2.1.1 (picture order count type 0) and
3.30 (complementary field pair); Rec. ITU-T H.265 clauses 7.3.6.1 and 8.3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from sluice_media.formats.codecs import h264, hevc
from sluice_media.formats.codecs.bits import BitReader
from sluice_media.formats.codecs.errors import CodecError
from sluice_media.formats.codecs.nal import unescape

SLICE_HEAD_BYTES = 32
"""Upper limit of the fields that are read here, with emulation prevention."""
_MAX_RANDOM_ACCESS_REFERENCE = 20
"""Last NAL unit type that resets the count: IDR and BLA pictures (16 to 20). CRA pictures continue
it."""


class PictureOrder(NamedTuple):
    """Place of a picture in the order of display."""

    place: int
    """Picture order count."""
    begins: bool
    """True when this picture resets the count."""


class Slices(Protocol):
    """Reader of one video stream's slice headers, which keeps the picture order count."""

    first_slice_byte: int
    """Index of the byte in a slice's NAL unit whose highest bit marks the first slice of a
    picture."""
    frame_seconds: float | None
    """Duration of a frame that the parameter sets declare."""
    counts_per_frame: int
    """Usual difference of the order counts of two consecutive frames."""

    @property
    def may_have_fields(self) -> bool:
        """True when a frame may be coded as two pictures, one for each field."""

    def take_sets(self, sets: Sequence[tuple[int, bytes]]) -> None:
        """Take parameter sets as (NAL unit type, NAL unit). Broken ones are ignored."""

    def order(self, head: bytes) -> PictureOrder | None:
        """Return the order of a picture from its first slice; None when it is unknown."""

    def is_second_field(self, first: bytes, second: bytes) -> bool:
        """Return whether two pictures, given by their first slices, are the fields of one frame."""


class _Count:
    """High bits of an order count; slices contain only the low bits (8.2.1.1, 8.3.1)."""

    def __init__(self) -> None:
        self._before = 0

    def take(self, low: int, bits: int, *, begins: bool, is_reference: bool) -> int:
        size = 1 << bits
        before = 0 if begins else self._before
        count = before - before % size + low
        if count - before > size // 2:
            count -= size
        elif before - count >= size // 2:
            count += size
        if begins:
            count = low
        if is_reference:
            self._before = count
        return count


class _AvcHead(NamedTuple):
    """Fields of an H.264 slice header."""

    frame_number: int
    is_field: bool
    is_bottom: bool
    low: int | None
    """pic_order_cnt_lsb; None when the stream does not have it."""


class AvcSlices:
    """:class:`Slices` of H.264."""

    first_slice_byte = 1
    counts_per_frame = 2

    def __init__(self) -> None:
        self.frame_seconds: float | None = None
        self._sps: h264.SpsInfo | None = None
        self._count = _Count()

    @property
    def may_have_fields(self) -> bool:
        return self._sps is not None and self._sps.may_have_fields

    def take_sets(self, sets: Sequence[tuple[int, bytes]]) -> None:
        for nal_type, nal in sets:
            if nal_type == h264.NAL_SPS:
                try:
                    self._sps = h264.parse_sps(nal)
                except CodecError:
                    continue
                self.frame_seconds = _seconds(self._sps.frame_rate)

    def order(self, head: bytes) -> PictureOrder | None:
        parsed = self._parse(head)
        if parsed is None or parsed.low is None or self._sps is None:
            return None
        begins = head[0] & 0x1F == h264.NAL_IDR
        bits = self._sps.order_count_bits
        is_reference = bool(head[0] & 0x60)
        return PictureOrder(
            self._count.take(parsed.low, bits, begins=begins, is_reference=is_reference), begins
        )

    def is_second_field(self, first: bytes, second: bytes) -> bool:
        a, b = self._parse(first), self._parse(second)
        return (
            a is not None
            and b is not None
            and a.is_field
            and b.is_field
            and a.is_bottom is not b.is_bottom
            and a.frame_number == b.frame_number
        )

    def _parse(self, head: bytes) -> _AvcHead | None:
        sps = self._sps
        if sps is None:
            return None
        bits = BitReader(unescape(head[1:]))
        try:
            for _ in range(3):
                bits.ue()  # first_mb_in_slice, slice_type, pic_parameter_set_id
            if sps.separate_planes:
                bits.skip(2)  # colour_plane_id
            frame_number = bits.u(sps.frame_number_bits)
            is_field = is_bottom = False
            if sps.may_have_fields and bits.flag():
                is_field, is_bottom = True, bits.flag()
            if head[0] & 0x1F == h264.NAL_IDR:
                bits.ue()  # idr_pic_id
            low = bits.u(sps.order_count_bits) if sps.order_count_bits else None
        except CodecError:
            return None
        return _AvcHead(frame_number, is_field, is_bottom, low)


class HevcSlices:
    """:class:`Slices` of HEVC. A field of HEVC is a picture of its own."""

    first_slice_byte = 2
    counts_per_frame = 1
    may_have_fields = False

    def __init__(self) -> None:
        self.frame_seconds: float | None = None
        self._sps: hevc.SpsInfo | None = None
        self._extra_bits = 0
        self._has_output_flag = False
        self._count = _Count()

    def take_sets(self, sets: Sequence[tuple[int, bytes]]) -> None:
        for nal_type, nal in sets:
            try:
                if nal_type == hevc.NAL_SPS:
                    self._sps = hevc.parse_sps(nal)
                    self.frame_seconds = _seconds(self._sps.frame_rate)
                elif nal_type == hevc.NAL_PPS:
                    bits = BitReader(unescape(nal[2:16]))
                    bits.ue()  # pps_pic_parameter_set_id
                    bits.ue()  # pps_seq_parameter_set_id
                    bits.skip(1)  # dependent_slice_segments_enabled_flag
                    self._has_output_flag = bits.flag()
                    self._extra_bits = bits.u(3)
            except CodecError:
                continue

    def order(self, head: bytes) -> PictureOrder | None:
        sps = self._sps
        if sps is None or not sps.order_count_bits:
            return None
        nal_type = head[0] >> 1 & 0x3F
        is_irap = hevc.NAL_FIRST_IRAP <= nal_type <= hevc.NAL_LAST_IRAP + 2
        begins = is_irap and nal_type <= _MAX_RANDOM_ACCESS_REFERENCE
        bits = BitReader(unescape(head[2:]))
        try:
            bits.skip(2 if is_irap else 1)  # first_slice_segment_in_pic_flag, no_output_...
            bits.ue()  # slice_pic_parameter_set_id
            bits.skip(self._extra_bits)
            bits.ue()  # slice_type
            if self._has_output_flag:
                bits.skip(1)  # pic_output_flag
            if sps.separate_planes:
                bits.skip(2)  # colour_plane_id
            low = 0 if nal_type in (19, 20) else bits.u(sps.order_count_bits)
        except CodecError:
            return None
        # Leading pictures do not count, nor pictures to which no other one of their layer refers.
        is_reference = not head[1] & 7 > 1 and not (nal_type < 16 and not nal_type & 1)
        is_reference = is_reference and nal_type not in (7, 9)
        count = self._count.take(
            low, sps.order_count_bits, begins=begins, is_reference=is_reference
        )
        return PictureOrder(count, begins)

    def is_second_field(self, first: bytes, second: bytes) -> bool:
        return False


def _seconds(frame_rate: float | None) -> float | None:
    return 1 / frame_rate if frame_rate and 1 <= frame_rate <= 1_000 else None
