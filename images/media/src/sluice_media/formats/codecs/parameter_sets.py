"""Collection of a stream's parameter sets: repeated sets in, the decoder configuration record out.

In MPEG-TS the parameter sets are inside the access units. FLV may repeat them there. The sets are
collected by their ids. A set that is repeated, or that comes later than the others, is therefore no
change of format.

Sources: ISO/IEC 14496-15 clause 5.3.3.1 (avcC) and 8.3.3.1 (hvcC); Rec. ITU-T H.264 clauses
7.3.2.1.1 and 7.3.2.2; Rec. ITU-T H.265 clauses 7.3.2.1 to 7.3.2.3 and 7.3.3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from sluice_media.formats.codecs import CodecError, h264, hevc
from sluice_media.formats.codecs.bits import BitReader
from sluice_media.formats.codecs.nal import iter_nal_units, unescape

MAX_SETS = 64
"""Maximum number of sets. H.264 allows 32 + 256; encoders send 2 to 4."""
MAX_SET_BYTES = 4_096
"""Maximum size of one set."""
_PROFILES_WITHOUT_CHROMA = frozenset({66, 77, 88})

_Nal = tuple[int, bytes]
"""A NAL unit type, and the NAL unit with its header."""


class ParameterSets(Protocol):
    """The parameter sets of one stream that are in force."""

    def take(self, nals: Sequence[_Nal]) -> bool:
        """Take the sets of one access unit; return whether they changed anything.

        Raises CodecError when one of them is broken. Then nothing is changed.
        """

    def take_sample(self, payload: bytes, nal_length_size: int) -> bool:
        """Take the sets before the first slice of an access unit in sample form, as :meth:`take`
        does.

        Raises CodecError, also when the NAL unit lengths are wrong.
        """

    def config(self, nal_length_size: int = 4) -> bytes | None:
        """Return the configuration record of the sets in force; None while a set is missing."""


class _Sets(ABC):
    """The sets in force by type and id, for both codecs."""

    _types: frozenset[int]
    _sequence_type: int

    def __init__(self) -> None:
        self._sets: dict[tuple[int, int], bytes] = {}
        self._latest: Sequence[_Nal] = ()

    def take(self, nals: Sequence[_Nal]) -> bool:
        if nals == self._latest:
            return False
        given: dict[tuple[int, int], bytes] = {}
        for nal_type, nal in nals:
            if len(nal) > MAX_SET_BYTES:
                raise CodecError(f"a parameter set of {len(nal)} bytes is not plausible")
            given[nal_type, self._id_of(nal_type, nal)] = nal
        # A sequence parameter set with new content begins another sequence. The sets given with it
        # replace all earlier sets of their types.
        replaced = any(
            nal_type == self._sequence_type and self._sets.get((nal_type, number), nal) != nal
            for (nal_type, number), nal in given.items()
        )
        if replaced:
            kinds = {nal_type for nal_type, _ in given}
            kept = {key: nal for key, nal in self._sets.items() if key[0] not in kinds}
        else:
            kept = self._sets
        sets = kept | given
        if len(sets) > MAX_SETS:
            raise CodecError(f"more than {MAX_SETS} parameter sets")
        self._latest = tuple(nals)
        changed = sets != self._sets
        self._sets = sets
        return changed

    def take_sample(self, payload: bytes, nal_length_size: int) -> bool:
        nals: list[_Nal] = []
        for nal in iter_nal_units(payload, nal_length_size):
            nal_type = self._type_of(nal[0])
            if nal_type in self._types:
                nals.append((nal_type, bytes(nal)))
            elif self._is_slice(nal_type):
                break
        return bool(nals) and self.take(nals)

    def _of_type(self, nal_type: int) -> list[bytes]:
        return [nal for key, nal in sorted(self._sets.items()) if key[0] == nal_type]

    @staticmethod
    @abstractmethod
    def _type_of(first: int) -> int:
        """Return the NAL unit type from the first byte of the header."""

    @staticmethod
    @abstractmethod
    def _is_slice(nal_type: int) -> bool:
        """Return whether NAL units of this type are slices."""

    @abstractmethod
    def _id_of(self, nal_type: int, nal: bytes) -> int:
        """Return the id of the set in that NAL unit; raise CodecError when it has none."""


class AvcParameterSets(_Sets):
    """The parameter sets of an H.264 stream."""

    _types = frozenset({h264.NAL_SPS, h264.NAL_PPS})
    _sequence_type = h264.NAL_SPS

    def config(self, nal_length_size: int = 4) -> bytes | None:
        sps, pps = self._of_type(h264.NAL_SPS), self._of_type(h264.NAL_PPS)
        if not sps or not pps:
            return None
        profile = sps[0][1]
        head = bytes((0xFC | nal_length_size - 1, 0xE0 | len(sps)))
        parts = [b"\x01", sps[0][1:4], head, *map(_sized, sps)]
        parts += [bytes((len(pps),)), *map(_sized, pps)]
        if profile not in _PROFILES_WITHOUT_CHROMA:
            chroma, luma_depth, chroma_depth = _avc_chroma(sps[0])
            parts.append(bytes((0xFC | chroma, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0)))
        return b"".join(parts)

    @staticmethod
    def _type_of(first: int) -> int:
        return first & 0x1F

    @staticmethod
    def _is_slice(nal_type: int) -> bool:
        return h264.NAL_SLICE <= nal_type <= h264.NAL_IDR

    def _id_of(self, nal_type: int, nal: bytes) -> int:
        if nal_type == h264.NAL_SPS:
            h264.parse_sps(nal)
            number, limit = BitReader(unescape(nal[4:16])).ue(), 31
        else:
            number, limit = BitReader(unescape(nal[1:16])).ue(), 255
        if number > limit:
            raise CodecError(f"an H.264 parameter set has the id {number}, above {limit}")
        return number


class HevcParameterSets(_Sets):
    """The parameter sets of an HEVC stream."""

    _types = frozenset({hevc.NAL_VPS, hevc.NAL_SPS, hevc.NAL_PPS})
    _sequence_type = hevc.NAL_SPS

    def config(self, nal_length_size: int = 4) -> bytes | None:
        kinds = (hevc.NAL_VPS, hevc.NAL_SPS, hevc.NAL_PPS)
        arrays = [(kind, self._of_type(kind)) for kind in kinds]
        if not all(nals for _, nals in arrays):
            return None
        parts = [_hevc_head(arrays[1][1][0], nal_length_size)]
        for kind, nals in arrays:
            # array_completeness: the samples contain no sets.
            parts += [bytes((0x80 | kind, 0, len(nals))), *map(_sized, nals)]
        return b"".join(parts)

    @staticmethod
    def _type_of(first: int) -> int:
        return first >> 1 & 0x3F

    @staticmethod
    def _is_slice(nal_type: int) -> bool:
        return nal_type <= hevc.NAL_LAST_VCL

    def _id_of(self, nal_type: int, nal: bytes) -> int:
        if nal_type == hevc.NAL_VPS:
            return BitReader(nal[2:3]).u(4)
        if nal_type == hevc.NAL_SPS:
            hevc.parse_sps(nal)
            bits, _ = _after_profile_tier_level(nal)
            number, limit = bits.ue(), 15
        else:
            number, limit = BitReader(unescape(nal[2:16])).ue(), 63
        if number > limit:
            raise CodecError(f"an HEVC parameter set has the id {number}, above {limit}")
        return number


def _sized(nal: bytes) -> bytes:
    return len(nal).to_bytes(2, "big") + nal


def _avc_chroma(sps: bytes) -> tuple[int, int, int]:
    """Return chroma_format_idc, bit_depth_luma_minus8 and bit_depth_chroma_minus8."""
    bits = BitReader(unescape(sps[4:32]))
    bits.ue()  # seq_parameter_set_id
    chroma = bits.ue()
    if chroma == 3:
        bits.skip(1)  # separate_colour_plane_flag
    return _checked_chroma(chroma, bits.ue(), bits.ue())


def _checked_chroma(chroma: int, luma_depth: int, chroma_depth: int) -> tuple[int, int, int]:
    if chroma > 3 or max(luma_depth, chroma_depth) > 7:
        raise CodecError("the chroma format or bit depth does not exist")
    return chroma, luma_depth, chroma_depth


def _after_profile_tier_level(sps: bytes) -> tuple[BitReader, bytes]:
    """Return a reader at sps_seq_parameter_set_id, and the RBSP that it reads."""
    rbsp = unescape(sps[2:])
    bits = BitReader(rbsp)
    bits.skip(4)
    sub_layers = bits.u(3)
    bits.skip(1 + 96)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.skip(2 * (8 - sub_layers))
    for profile_present, level_present in present:
        bits.skip((88 if profile_present else 0) + (8 if level_present else 0))
    return bits, rbsp


def _hevc_head(sps: bytes, nal_length_size: int) -> bytes:
    """Return the fixed part of an hvcC, up to and with numOfArrays (3: VPS, SPS, PPS)."""
    bits, rbsp = _after_profile_tier_level(sps)
    bits.ue()  # sps_seq_parameter_set_id
    chroma = bits.ue()
    if chroma == 3:
        bits.skip(1)  # separate_colour_plane_flag
    bits.ue()  # pic_width_in_luma_samples
    bits.ue()  # pic_height_in_luma_samples
    if bits.flag():
        for _ in range(4):
            bits.ue()  # conformance window
    chroma, luma_depth, chroma_depth = _checked_chroma(chroma, bits.ue(), bits.ue())
    temporal_layers, nested = (rbsp[0] >> 1 & 7) + 1, rbsp[0] & 1
    return b"".join(
        (
            b"\x01",
            rbsp[1:13],  # profile, compatibility, constraints and level: the same layout in both
            b"\xf0\x00\xfc",  # min_spatial_segmentation_idc, parallelismType: unknown
            bytes((0xFC | chroma, 0xF8 | luma_depth, 0xF8 | chroma_depth)),
            b"\x00\x00",  # avgFrameRate: unknown
            bytes((temporal_layers << 3 | nested << 2 | nal_length_size - 1, 3)),
        )
    )
