"""HEVC: decoder configuration, picture size and random access.

An HEVCDecoderConfigurationRecord ("hvcC", ISO/IEC 14496-15 clause 8.3.3.1) comes in, from Enhanced
RTMP or MP4, with access units in sample form. :class:`HevcConfig` goes out, and the answer whether
decoding can start at a unit. Clause numbers in this module are those of Rec. ITU-T H.265 (08/2021).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sluice_media.formats.codecs.bits import BitReader
from sluice_media.formats.codecs.errors import CodecError
from sluice_media.formats.codecs.h264 import Display, skip_vui_before_timing, vui_display
from sluice_media.formats.codecs.nal import has_recovery_point, iter_nal_units, unescape

NAL_FIRST_IRAP = 16
NAL_LAST_IRAP = 21
"""22 and 23 are reserved for more IRAP types (Table 7-1). No decoder starts at them today."""
NAL_LAST_VCL = 31
NAL_VPS = 32
NAL_SPS = 33
NAL_PPS = 34
NAL_ACCESS_UNIT_DELIMITER = 35
NAL_PREFIX_SEI = 39

_FIXED_BYTES = 23
_MAX_PARAMETER_SETS = 256
_MAX_SPS_BYTES = 16_384
_MAX_SIDE = 32_768
_MAX_SHORT_TERM_SETS = 64
_MAX_PICTURES_PER_SET = 16
_MAX_LONG_TERM_PICTURES = 32
_MAX_ORDER_COUNT_BITS = 16


@dataclass(slots=True, frozen=True)
class SpsInfo:
    """Facts from a sequence parameter set."""

    width: int
    """Width inside the conformance window, in luma samples."""
    height: int
    frame_rate: float | None
    """Pictures per second that the VUI declares; encoders may differ from it."""
    order_count_bits: int = field(default=0, compare=False)
    """Size of slice_pic_order_cnt_lsb in slice headers, in bits; 0 when it could not be read."""
    separate_planes: bool = field(default=False, compare=False)
    display: Display = field(default=Display(), compare=False)


@dataclass(slots=True, frozen=True)
class HevcConfig:
    """A parsed HEVCDecoderConfigurationRecord."""

    width: int
    """Width of the displayed picture (inside the conformance window), in luma samples."""
    height: int
    nal_length_size: int
    """Size of the length before each NAL unit, in bytes: 1, 2 or 4."""
    vps: tuple[bytes, ...]
    """Video parameter sets as NAL units, with header and emulation prevention."""
    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    profile: int
    """general_profile_idc, e.g. 1 Main, 2 Main 10."""
    level: int
    """general_level_idc: thirty times the level, e.g. 93 for 3.1."""
    frame_rate: float | None


def parse_hvcc(config: bytes) -> HevcConfig:
    """Parse a decoder configuration record; raises :class:`CodecError`.

    At least one VPS, SPS and PPS are required, as with H.264.
    """
    if len(config) < _FIXED_BYTES:
        raise CodecError("the HEVC configuration is shorter than its fixed part")
    # Encoders wrote version 0 before the standard was final. Its layout is the same.
    if config[0] not in (0, 1):
        raise CodecError(f"HEVC configuration version {config[0]} is not known")
    nal_length_size = (config[21] & 3) + 1
    if nal_length_size == 3:
        raise CodecError("HEVC NAL unit lengths of 3 bytes are not allowed")
    sets = _parameter_sets(config)
    vps, sps, pps = (tuple(sets.get(kind, ())) for kind in (NAL_VPS, NAL_SPS, NAL_PPS))
    if not (vps and sps and pps):
        raise CodecError("the HEVC configuration lacks a video, sequence or picture parameter set")
    info = parse_sps(sps[0])
    return HevcConfig(
        width=info.width,
        height=info.height,
        nal_length_size=nal_length_size,
        vps=vps,
        sps=sps,
        pps=pps,
        profile=config[1] & 0x1F,
        level=config[12],
        frame_rate=info.frame_rate,
    )


def is_random_access(payload: bytes, nal_length_size: int) -> bool:
    """Return whether decoding can start at this access unit: at an IRAP picture or recovery point
    SEI.

    Raises :class:`CodecError` when the NAL unit lengths are wrong.
    """
    for nal in iter_nal_units(payload, nal_length_size):
        nal_type = (nal[0] >> 1) & 0x3F
        if nal_type <= NAL_LAST_VCL:
            # Prefix SEI messages precede the first slice (7.4.2.4.4).
            return NAL_FIRST_IRAP <= nal_type <= NAL_LAST_IRAP
        if nal_type == NAL_PREFIX_SEI and has_recovery_point(unescape(bytes(nal[2:]))):
            return True
    return False


def parse_sps(nal: bytes) -> SpsInfo:
    """Parse a sequence parameter set NAL unit (7.3.2.2.1); raises :class:`CodecError`."""
    if len(nal) > _MAX_SPS_BYTES:
        raise CodecError(f"a sequence parameter set of {len(nal)} bytes is not plausible")
    if len(nal) < 3 or (nal[0] >> 1) & 0x3F != NAL_SPS:
        raise CodecError("the NAL unit is not an HEVC sequence parameter set")
    bits = BitReader(unescape(nal[2:]))
    bits.skip(4)  # sps_video_parameter_set_id
    max_sub_layers_minus1 = bits.u(3)
    bits.skip(1)  # sps_temporal_id_nesting_flag
    _skip_profile_tier_level(bits, max_sub_layers_minus1)
    bits.ue()  # sps_seq_parameter_set_id
    chroma_format = bits.ue()
    if chroma_format > 3:
        raise CodecError(f"HEVC chroma format {chroma_format} does not exist")
    separate_planes = chroma_format == 3 and bits.flag()
    width, height = bits.ue(), bits.ue()
    if max(width, height) > _MAX_SIDE:
        raise CodecError("the HEVC picture size is not plausible")
    if bits.flag():
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        chroma_array_type = 0 if separate_planes else chroma_format
        width -= (left + right) * (2 if chroma_array_type in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma_array_type == 1 else 1)
    if width <= 0 or height <= 0:
        raise CodecError("the HEVC conformance window leaves no picture")
    order_count_bits = _order_count_bits(bits)
    display, frame_rate = _vui(bits, max_sub_layers_minus1, order_count_bits)
    return SpsInfo(width, height, frame_rate, order_count_bits, separate_planes, display)


def _order_count_bits(bits: BitReader) -> int:
    """Return the size of slice_pic_order_cnt_lsb; 0 when a field before it cannot be read.

    With 0, the derived times of pictures are less exact.
    """
    try:
        bits.ue()  # bit_depth_luma_minus8
        bits.ue()  # bit_depth_chroma_minus8
        found = bits.ue() + 4
    except CodecError:
        return 0
    return found if found <= _MAX_ORDER_COUNT_BITS else 0


def _parameter_sets(config: bytes) -> dict[int, list[bytes]]:
    sets: dict[int, list[bytes]] = {}
    total = 0
    position = _FIXED_BYTES
    for _ in range(config[22]):
        if position + 3 > len(config):
            raise CodecError("the HEVC configuration ends before its parameter sets")
        nal_type = config[position] & 0x3F
        count = int.from_bytes(config[position + 1 : position + 3], "big")
        position += 3
        total += count
        if total > _MAX_PARAMETER_SETS:
            raise CodecError("the HEVC configuration has too many parameter sets")
        for _ in range(count):
            start = position + 2
            end = start + int.from_bytes(config[position:start], "big")
            if end > len(config) or end < start + 2:
                raise CodecError("a parameter set does not fit the HEVC configuration")
            if (config[start] >> 1) & 0x3F != nal_type:
                raise CodecError("a parameter set of the HEVC configuration has another type")
            sets.setdefault(nal_type, []).append(config[start:end])
            position = end
    return sets


def _skip_profile_tier_level(bits: BitReader, max_sub_layers_minus1: int) -> None:
    """Skip profile_tier_level(1, max_sub_layers_minus1), clause 7.3.3."""
    bits.skip(88 + 8)
    present = [(bits.flag(), bits.flag()) for _ in range(max_sub_layers_minus1)]
    if max_sub_layers_minus1:
        bits.skip(2 * (8 - max_sub_layers_minus1))
    for profile_present, level_present in present:
        bits.skip((88 if profile_present else 0) + (8 if level_present else 0))


def _vui(
    bits: BitReader, max_sub_layers_minus1: int, order_count_bits: int
) -> tuple[Display, float | None]:
    """Return the facts for the display, and the pictures per second, from the VUI at the end of
    the parameter set.

    When a field cannot be read, only the facts behind it are unknown.
    """
    display = Display()
    try:
        _skip_to_vui(bits, max_sub_layers_minus1, order_count_bits)
        if not bits.flag():
            return display, None
        display = vui_display(bits)
        skip_vui_before_timing(bits)
        bits.skip(1)  # neutral_chroma_indication_flag
        field_seq = bits.flag()
        bits.skip(1)  # frame_field_info_present_flag
        if bits.flag():  # default_display_window_flag
            for _ in range(4):
                bits.ue()
        if not bits.flag():
            return display, None
        units_in_tick, time_scale = bits.u(32), bits.u(32)
    except CodecError:
        return display, None
    if not units_in_tick or not time_scale:
        return display, None
    return display, time_scale / (units_in_tick * (2 if field_seq else 1))


def _skip_to_vui(bits: BitReader, max_sub_layers_minus1: int, order_count_bits: int) -> None:
    for _ in range(max_sub_layers_minus1 + 1 if bits.flag() else 1):
        for _ in range(3):
            bits.ue()  # sps_max_dec_pic_buffering, num_reorder, latency_increase
    for _ in range(6):
        bits.ue()  # block sizes and transform hierarchy depths
    if bits.flag() and bits.flag():
        _skip_scaling_list_data(bits)
    bits.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag():  # pcm_enabled_flag
        bits.skip(8)
        bits.ue()
        bits.ue()
        bits.skip(1)
    _skip_short_term_sets(bits)
    if bits.flag():  # long_term_ref_pics_present_flag
        count = bits.ue()
        if count > _MAX_LONG_TERM_PICTURES:
            raise CodecError("too many long-term reference pictures")
        bits.skip(count * (order_count_bits + 1))
    bits.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag


def _skip_scaling_list_data(bits: BitReader) -> None:
    """Skip scaling_list_data(), clause 7.3.4."""
    for size_id in range(4):
        for _ in range(0, 6, 3 if size_id == 3 else 1):
            if not bits.flag():
                bits.ue()  # scaling_list_pred_matrix_id_delta
                continue
            if size_id > 1:
                bits.se()  # scaling_list_dc_coef_minus8
            for _ in range(min(64, 1 << (4 + (size_id << 1)))):
                bits.se()


def _skip_short_term_sets(bits: BitReader) -> None:
    """Skip every st_ref_pic_set() of the sequence parameter set, clause 7.3.7."""
    count = bits.ue()
    if count > _MAX_SHORT_TERM_SETS:
        raise CodecError("too many short-term reference picture sets")
    pictures = 0
    for index in range(count):
        if index and bits.flag():  # inter_ref_pic_set_prediction_flag
            bits.skip(1)  # delta_rps_sign
            bits.ue()  # abs_delta_rps_minus1
            predicted = 0
            for _ in range(pictures + 1):
                used = bits.flag()
                predicted += used or bits.flag()  # used_by_curr_pic_flag, use_delta_flag
            pictures = predicted
        else:
            pictures = bits.ue() + bits.ue()
            if pictures > _MAX_PICTURES_PER_SET:
                raise CodecError("too many pictures in a short-term reference picture set")
            for _ in range(pictures):
                bits.ue()  # delta_poc_minus1
                bits.skip(1)  # used_by_curr_pic_flag
