"""Conversion of an access unit from sample form to the byte stream form of MPEG-TS.

Sources: Rec. ITU-T H.264 Annex B and clause 7.4.1.2.3 (order of NAL units), Rec. ITU-T H.265
Annex B and clause 7.4.2.4.4; ISO/IEC 13818-1:2019 clause 2.14.1 and 2.17.1 (an access unit
delimiter starts each picture); ISO/IEC 14496-3 clause 1.A.3.2 (ADTS).
"""

from __future__ import annotations

from typing import Protocol

from sluice_media.formats.codecs import aac, h264, hevc
from sluice_media.formats.codecs.nal import iter_nal_units
from sluice_media.formats.units import Codec, TrackFormat

_START_CODE = b"\x00\x00\x00\x01"
_H264_DELIMITER = _START_CODE + b"\x09\xf0"
"""Delimiter with primary_pic_type 7: any slice type may follow."""
_HEVC_DELIMITER = _START_CODE + b"\x46\x01\x50"
"""Delimiter with pic_type 2: any slice type may follow."""


class Elementary(Protocol):
    """Converter of one track's access units."""

    def pieces(self, payload: bytes, random_access: bool) -> list[bytes | memoryview]:
        """Return pieces that, joined, are the unit in byte stream form; raises CodecError."""


class _NalElementary:
    """Converter of H.264 and HEVC: it adds a delimiter, start codes, and parameter sets before a
    random access picture."""

    __slots__ = (
        "_delimiter",
        "_delimiter_type",
        "_length_size",
        "_mask",
        "_sets",
        "_shift",
        "_sps",
    )

    def __init__(self, track_format: TrackFormat) -> None:
        if track_format.codec is Codec.H264:
            avc = h264.parse_avcc(track_format.config)
            sets = avc.sps + avc.pps
            self._length_size = avc.nal_length_size
            self._delimiter = _H264_DELIMITER
            self._delimiter_type, self._sps = h264.NAL_ACCESS_UNIT_DELIMITER, h264.NAL_SPS
            self._shift, self._mask = 0, 0x1F
        else:
            hvc = hevc.parse_hvcc(track_format.config)
            sets = hvc.vps + hvc.sps + hvc.pps
            self._length_size = hvc.nal_length_size
            self._delimiter = _HEVC_DELIMITER
            self._delimiter_type, self._sps = hevc.NAL_ACCESS_UNIT_DELIMITER, hevc.NAL_SPS
            self._shift, self._mask = 1, 0x3F
        self._sets = b"".join(_START_CODE + nal for nal in sets)

    def pieces(self, payload: bytes, random_access: bool) -> list[bytes | memoryview]:
        parts: list[bytes | memoryview] = [self._delimiter]
        add = parts.append
        shift, mask = self._shift, self._mask
        sets_inside = False
        for nal in iter_nal_units(payload, self._length_size):
            nal_type = (nal[0] >> shift) & mask
            if nal_type == self._delimiter_type:
                continue
            sets_inside = sets_inside or nal_type == self._sps
            add(_START_CODE)
            add(nal)
        if random_access and not sets_inside:
            parts.insert(1, self._sets)
        return parts


class _AdtsElementary:
    """Converter of AAC: it adds a header before each frame."""

    __slots__ = ("_base",)

    def __init__(self, track_format: TrackFormat) -> None:
        self._base = aac.adts_base(aac.parse_asc(track_format.config))

    def pieces(self, payload: bytes, random_access: bool) -> list[bytes | memoryview]:
        return [aac.adts_frame_header(self._base, len(payload)), payload]


def elementary(track_format: TrackFormat) -> Elementary:
    """Return the converter for one track; raises CodecError when MPEG-TS cannot carry the track."""
    if track_format.codec is Codec.AAC:
        return _AdtsElementary(track_format)
    return _NalElementary(track_format)
