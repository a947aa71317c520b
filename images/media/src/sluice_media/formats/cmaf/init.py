"""Init segment of one track: ``ftyp`` and ``moov`` (ISO/IEC 14496-12:2022 clause 8; ISO/IEC
23000-19:2024 clause 7.3.1)."""

from __future__ import annotations

import struct

from sluice_media.formats.cmaf.boxes import box, full_box
from sluice_media.formats.cmaf.fragment import TRACK_ID
from sluice_media.formats.cmaf.sample_entry import sample_entry
from sluice_media.formats.cmaf.video_facts import video_facts
from sluice_media.formats.units import TICKS_PER_SECOND, TrackFormat, TrackKind

_BRANDS = b"iso6" + bytes(4) + b"iso6cmfccmf2"
"""``cmf2``: no edit list, and composition offsets that may be negative (23000-19 clause 7.5.18)."""
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_FULL_VOLUME = 0x0100
_UNDETERMINED = 0x55C4
"""Language "und" in three times five bits."""
_SELF_CONTAINED = 1
_ENABLED_IN_MOVIE = 3


def init_segment(track_format: TrackFormat) -> bytes:
    """Return the init segment of a track; raises CodecError for a broken configuration."""
    is_video = track_format.kind is TrackKind.VIDEO
    movie = full_box(
        b"mvhd",
        0,
        0,
        struct.pack(">IIIIIH", 0, 0, TICKS_PER_SECOND, 0, 0x10000, _FULL_VOLUME),
        bytes(10),
        _MATRIX,
        bytes(24),
        struct.pack(">I", TRACK_ID + 1),
    )
    extends = full_box(b"trex", 0, 0, struct.pack(">5I", TRACK_ID, 1, 0, 0, 0))
    track = box(b"trak", _track_header(track_format, is_video), _media(track_format, is_video))
    return box(b"ftyp", _BRANDS) + box(b"moov", movie, track, box(b"mvex", extends))


def _track_header(track_format: TrackFormat, is_video: bool) -> bytes:
    width = video_facts(track_format).display_width if is_video else 0
    return full_box(
        b"tkhd",
        0,
        _ENABLED_IN_MOVIE,
        struct.pack(">5I", 0, 0, TRACK_ID, 0, 0),
        bytes(8),
        struct.pack(">4H", 0, 0, 0 if is_video else _FULL_VOLUME, 0),
        _MATRIX,
        struct.pack(">II", width << 16, track_format.height << 16 if is_video else 0),
    )


def _media(track_format: TrackFormat, is_video: bool) -> bytes:
    times = struct.pack(">IIIIHH", 0, 0, TICKS_PER_SECOND, 0, _UNDETERMINED, 0)
    handler = b"vide" if is_video else b"soun"
    tables = box(
        b"stbl",
        full_box(b"stsd", 0, 0, struct.pack(">I", 1), sample_entry(track_format)),
        full_box(b"stts", 0, 0, bytes(4)),
        full_box(b"stsc", 0, 0, bytes(4)),
        full_box(b"stsz", 0, 0, bytes(8)),
        full_box(b"stco", 0, 0, bytes(4)),
    )
    reference = full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, _SELF_CONTAINED))
    information = box(
        b"minf",
        full_box(b"vmhd", 0, 1, bytes(8)) if is_video else full_box(b"smhd", 0, 0, bytes(4)),
        box(b"dinf", reference),
        tables,
    )
    return box(
        b"mdia",
        full_box(b"mdhd", 0, 0, times),
        full_box(b"hdlr", 0, 0, bytes(4), handler, bytes(12), b"Sluice\x00"),
        information,
    )
