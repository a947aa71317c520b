"""H.264/AVC: decoder configuration, picture size and random access.

An AVCDecoderConfigurationRecord ("avcC", ISO/IEC 14496-15 clause 5.3.3.1) comes in, from FLV or
MP4, with access units in sample form. :class:`AvcConfig` goes out, and the answer whether decoding
can start at a unit. Clause numbers in this module are those of Rec. ITU-T H.264 (08/2021).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sluice_media.formats.codecs.bits import BitReader
from sluice_media.formats.codecs.errors import CodecError
from sluice_media.formats.codecs.nal import has_recovery_point, iter_nal_units, unescape

NAL_SLICE = 1
NAL_IDR = 5
NAL_SEI = 6
NAL_SPS = 7
NAL_PPS = 8
NAL_ACCESS_UNIT_DELIMITER = 9

_EXTENDED_SAR = 255
_SAMPLE_ASPECTS = (
    (0, 0), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11),
    (80, 33), (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
"""Width and height of a sample by aspect_ratio_idc (table E-1)."""
_MAX_SPS_BYTES = 4_096
_MAX_MACROBLOCKS_PER_SIDE = 2_048
"""Maximum size: 32768 luma samples, twice the limit of the highest level (A.3.1)."""
_PROFILES_WITH_CHROMA_FORMAT = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139})
_PROFILES_WITH_CHROMA_FORMAT |= {244}
_MAX_REF_FRAMES_IN_CYCLE = 255
_MAX_COUNTER_BITS = 16


class Display(NamedTuple):
    """Facts of the VUI for the display of a picture; None for a value that is not declared."""

    sample_aspect: tuple[int, int] | None = None
    """Width and height of a luma sample, in the same unit."""
    colour: tuple[int, int, int] | None = None
    """Code points of primaries, transfer function and matrix (Rec. ITU-T H.273)."""
    is_full_range: bool = False


@dataclass(slots=True, frozen=True)
class SpsInfo:
    """Facts from a sequence parameter set."""

    width: int
    """Width after cropping, in luma samples."""
    height: int
    frame_rate: float | None
    """Frames per second that the VUI declares; encoders may differ from it."""
    frame_number_bits: int = field(default=4, compare=False)
    """Size of frame_num in slice headers, in bits."""
    order_count_bits: int = field(default=0, compare=False)
    """Size of pic_order_cnt_lsb in slice headers, in bits; 0 when slice headers do not have it."""
    separate_planes: bool = field(default=False, compare=False)
    may_have_fields: bool = field(default=False, compare=False)
    display: Display = field(default=Display(), compare=False)


@dataclass(slots=True, frozen=True)
class AvcConfig:
    """A parsed AVCDecoderConfigurationRecord."""

    width: int
    """Width of the displayed picture (after cropping), in luma samples."""
    height: int
    nal_length_size: int
    """Size of the length before each NAL unit, in bytes: 1, 2 or 4."""
    sps: tuple[bytes, ...]
    """Sequence parameter sets as NAL units, with header and emulation prevention."""
    pps: tuple[bytes, ...]
    profile: int
    """profile_idc, e.g. 66 Baseline, 77 Main, 100 High."""
    level: int
    """level_idc: ten times the level, e.g. 31 for 3.1."""
    frame_rate: float | None


def parse_avcc(config: bytes) -> AvcConfig:
    """Parse a decoder configuration record; raises :class:`CodecError`.

    At least one sequence and one picture parameter set are required: without them, our outputs
    (MPEG-TS, sequence headers) cannot start a decoder.
    """
    if len(config) < 7:
        raise CodecError("the H.264 configuration is shorter than its fixed part")
    if config[0] != 1:
        raise CodecError(f"H.264 configuration version {config[0]} is not known")
    nal_length_size = (config[4] & 3) + 1
    if nal_length_size == 3:
        raise CodecError("H.264 NAL unit lengths of 3 bytes are not allowed")
    sps, position = _parameter_sets(config, 5, 0x1F, "sequence", NAL_SPS)
    pps, _ = _parameter_sets(config, position, 0xFF, "picture", NAL_PPS)
    info = parse_sps(sps[0])
    return AvcConfig(
        width=info.width,
        height=info.height,
        nal_length_size=nal_length_size,
        sps=sps,
        pps=pps,
        profile=config[1],
        level=config[3],
        frame_rate=info.frame_rate,
    )


def is_random_access(payload: bytes, nal_length_size: int) -> bool:
    """Return whether decoding can start at this access unit: at an IDR picture or recovery point
    SEI.

    Encoders with intra refresh send one IDR picture, and then recovery points. Raises
    :class:`CodecError` when the NAL unit lengths are wrong.
    """
    for nal in iter_nal_units(payload, nal_length_size):
        nal_type = nal[0] & 0x1F
        if nal_type == NAL_IDR:
            return True
        if NAL_SLICE <= nal_type < NAL_IDR:
            # SEI messages precede the first slice (7.4.1.2.3). Of one picture, all slices are IDR
            # or none is.
            return False
        if nal_type == NAL_SEI and has_recovery_point(unescape(bytes(nal[1:]))):
            return True
    return False


def parse_sps(nal: bytes) -> SpsInfo:
    """Parse a sequence parameter set NAL unit (7.3.2.1.1); raises :class:`CodecError`."""
    if len(nal) > _MAX_SPS_BYTES:
        raise CodecError(f"a sequence parameter set of {len(nal)} bytes is not plausible")
    if len(nal) < 4 or nal[0] & 0x1F != NAL_SPS:
        raise CodecError("the NAL unit is not an H.264 sequence parameter set")
    bits = BitReader(unescape(nal[1:]))
    profile = bits.u(8)
    bits.skip(16)  # constraint flags, level_idc
    bits.ue()  # seq_parameter_set_id
    chroma_array_type, separate_planes = 1, False
    if profile in _PROFILES_WITH_CHROMA_FORMAT:
        chroma_array_type, separate_planes = _chroma_and_scaling(bits)
    frame_number_bits = bits.ue() + 4
    order_count_bits = _picture_order_count(bits)
    if max(frame_number_bits, order_count_bits) > _MAX_COUNTER_BITS:
        raise CodecError("an H.264 counter has more than 16 bits")
    bits.ue()  # max_num_ref_frames
    bits.skip(1)  # gaps_in_frame_num_value_allowed_flag
    width_mbs = bits.ue() + 1
    height_map_units = bits.ue() + 1
    if max(width_mbs, height_map_units) > _MAX_MACROBLOCKS_PER_SIDE:
        raise CodecError("the H.264 picture size is not plausible")
    frame_mbs_only = bits.flag()
    if not frame_mbs_only:
        bits.skip(1)  # mb_adaptive_frame_field_flag
    bits.skip(1)  # direct_8x8_inference_flag
    field_factor = 1 if frame_mbs_only else 2
    crop_width, crop_height = _cropping(bits, chroma_array_type, field_factor)
    width = width_mbs * 16 - crop_width
    height = height_map_units * 16 * field_factor - crop_height
    if width <= 0 or height <= 0:
        raise CodecError("the H.264 cropping leaves no picture")
    display, frame_rate = _vui(bits)
    return SpsInfo(
        width,
        height,
        frame_rate,
        frame_number_bits,
        order_count_bits,
        separate_planes,
        may_have_fields=not frame_mbs_only,
        display=display,
    )


def _parameter_sets(
    config: bytes, position: int, count_mask: int, name: str, nal_type: int
) -> tuple[tuple[bytes, ...], int]:
    if position >= len(config):
        raise CodecError(f"the H.264 configuration ends before its {name} parameter sets")
    count = config[position] & count_mask
    if not count:
        raise CodecError(f"the H.264 configuration has no {name} parameter set")
    position += 1
    sets = []
    for _ in range(count):
        start = position + 2
        end = start + int.from_bytes(config[position:start], "big")
        if end > len(config) or end == start:
            raise CodecError(f"a {name} parameter set does not fit the H.264 configuration")
        if config[start] & 0x1F != nal_type:
            raise CodecError(
                f"the H.264 configuration has another NAL unit as {name} parameter set"
            )
        sets.append(config[start:end])
        position = end
    return tuple(sets), position


def _chroma_and_scaling(bits: BitReader) -> tuple[int, bool]:
    """Read the fields of the High profiles; return ChromaArrayType and
    separate_colour_plane_flag."""
    chroma_format = bits.ue()
    if chroma_format > 3:
        raise CodecError(f"H.264 chroma format {chroma_format} does not exist")
    separate_planes = chroma_format == 3 and bits.flag()
    bits.ue()  # bit_depth_luma_minus8
    bits.ue()  # bit_depth_chroma_minus8
    bits.skip(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.flag():
        for index in range(12 if chroma_format == 3 else 8):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return (0 if separate_planes else chroma_format), separate_planes


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = scale = 8
    for _ in range(size):
        if scale:
            scale = (last + bits.se()) & 0xFF
        last = scale or last


def _picture_order_count(bits: BitReader) -> int:
    """Return the size of pic_order_cnt_lsb in bits; 0 when slices do not have it."""
    poc_type = bits.ue()
    if poc_type == 0:
        return bits.ue() + 4
    if poc_type == 1:
        bits.skip(1)  # delta_pic_order_always_zero_flag
        bits.se()  # offset_for_non_ref_pic
        bits.se()  # offset_for_top_to_bottom_field
        count = bits.ue()
        if count > _MAX_REF_FRAMES_IN_CYCLE:
            raise CodecError("the H.264 picture order count cycle is too long")
        for _ in range(count):
            bits.se()  # offset_for_ref_frame
    return 0


def _cropping(bits: BitReader, chroma_array_type: int, field_factor: int) -> tuple[int, int]:
    """Return the luma samples cut off horizontally and vertically (7.4.2.1.1, formulas 7-19 to
    7-22)."""
    if not bits.flag():
        return 0, 0
    left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    unit_x = 2 if chroma_array_type in (1, 2) else 1
    unit_y = (2 if chroma_array_type == 1 else 1) * field_factor
    return (left + right) * unit_x, (top + bottom) * unit_y


def _vui(bits: BitReader) -> tuple[Display, float | None]:
    """Return the facts for the display, and the frames per second, from the VUI parameters (E.1.1).

    Some encoders cut their VUI short. Then only the facts behind the cut are unknown.
    """
    display = Display()
    try:
        if not bits.flag():
            return display, None
        display = vui_display(bits)
        skip_vui_before_timing(bits)
        if not bits.flag():
            return display, None
        units_in_tick, time_scale = bits.u(32), bits.u(32)
    except CodecError:
        return display, None
    if not units_in_tick or not time_scale:
        return display, None
    return display, time_scale / (2 * units_in_tick)  # a tick is a field (E.2.1)


def vui_display(bits: BitReader) -> Display:
    """Read the start of the VUI, which is the same in H.264 (E.1.1) and HEVC (E.2.1)."""
    aspect = None
    if bits.flag():
        number = bits.u(8)
        if number == _EXTENDED_SAR:
            aspect = bits.u(16), bits.u(16)
        elif number < len(_SAMPLE_ASPECTS):
            aspect = _SAMPLE_ASPECTS[number]
    if bits.flag():
        bits.skip(1)  # overscan_appropriate_flag
    colour, is_full_range = None, False
    if bits.flag():
        bits.skip(3)  # video_format
        is_full_range = bits.flag()
        if bits.flag():
            colour = bits.u(8), bits.u(8), bits.u(8)
    return Display(aspect if aspect and all(aspect) else None, colour, is_full_range)


def skip_vui_before_timing(bits: BitReader) -> None:
    """Skip the fields of the VUI between :func:`vui_display` and the timing or the next field."""
    if bits.flag():
        bits.ue()  # chroma_sample_loc_type_top_field
        bits.ue()  # chroma_sample_loc_type_bottom_field
