"""Sample entries: the decoder configuration of a track.

Sources: ISO/IEC 14496-12:2022 clauses 12.1.3 (visual), 12.1.4 (pasp), 12.1.5 (colr) and 12.2.3
(audio); ISO/IEC 14496-15:2022 clauses 5.4.2 (avc1) and 8.4.1 (hvc1); ISO/IEC 14496-14:2020 clause
6.7.2 (mp4a) and ISO/IEC 14496-1:2010 clause 7.2.6 (esds).
"""

from __future__ import annotations

import struct

from sluice_media.formats.cmaf.boxes import box, full_box
from sluice_media.formats.cmaf.video_facts import video_facts
from sluice_media.formats.codecs import aac, hevc
from sluice_media.formats.units import Codec, TrackFormat

_REFERENCE = bytes(6) + b"\x00\x01"
"""Reserved bytes and data_reference_index 1, the file itself."""
_72_DPI = 0x480000
_DEPTH_24 = 24
_SAMPLE_BITS = 16
_MAX_RATE_16_16 = 0xFFFF
_ARRAY_COMPLETENESS = 0x80
_HVCC_ARRAYS = 22

_ES_DESCRIPTOR = 3
_DECODER_CONFIG = 4
_DECODER_SPECIFIC = 5
_SL_CONFIG = 6
_OBJECT_TYPE_AAC = 0x40
_STREAM_TYPE_AUDIO = 5 << 2 | 1
_SL_PREDEFINED_MP4 = b"\x02"
_AAC_BUFFER_BITS = 6_144
"""Maximum size of a frame in bits, per channel (ISO/IEC 14496-3 clause 4.5.3.2)."""


def sample_entry(track_format: TrackFormat) -> bytes:
    """Return the sample entry box of a track; raises CodecError for a broken configuration."""
    config = track_format.config
    if track_format.codec is Codec.H264:
        return _visual(b"avc1", track_format, box(b"avcC", config))
    if track_format.codec is Codec.HEVC:
        return _visual(b"hvc1", track_format, box(b"hvcC", complete_hvcc(config)))
    return _audio(track_format)


def complete_hvcc(config: bytes) -> bytes:
    """Return the HEVCDecoderConfigurationRecord as ``hvc1`` needs it: version 1, and every array
    of parameter sets complete (ISO/IEC 14496-15 clause 8.4.1.1). Raises CodecError."""
    hevc.parse_hvcc(config)  # so that all lengths below are right
    record = bytearray(config)
    record[0] = 1
    position = _HVCC_ARRAYS + 1
    for _ in range(record[_HVCC_ARRAYS]):
        record[position] |= _ARRAY_COMPLETENESS
        count = int.from_bytes(record[position + 1 : position + 3], "big")
        position += 3
        for _ in range(count):
            position += 2 + int.from_bytes(record[position : position + 2], "big")
    return bytes(record)


def _visual(kind: bytes, track_format: TrackFormat, configuration: bytes) -> bytes:
    facts = video_facts(track_format)
    colour = b""
    if facts.colour is not None:
        full_range = bytes((facts.is_full_range << 7,))
        colour = box(b"colr", b"nclx", struct.pack(">3H", *facts.colour), full_range)
    return box(
        kind,
        _REFERENCE,
        bytes(16),
        struct.pack(">HH", track_format.width, track_format.height),
        struct.pack(">IIIH", _72_DPI, _72_DPI, 0, 1),  # one frame per sample
        bytes(32),  # compressorname: none
        struct.pack(">Hh", _DEPTH_24, -1),
        configuration,
        colour,
        box(b"pasp", struct.pack(">II", *facts.sample_aspect)),
    )


def _audio(track_format: TrackFormat) -> bytes:
    config = aac.parse_asc(track_format.config)
    # A rate above 65,535 Hz does not fit 16.16. The decoder configuration takes precedence.
    rate = config.sample_rate if config.sample_rate <= _MAX_RATE_16_16 else 0
    return box(
        b"mp4a",
        _REFERENCE,
        bytes(8),
        struct.pack(">HHHH", config.channels, _SAMPLE_BITS, 0, 0),
        struct.pack(">I", rate << 16),
        _esds(track_format.config, config),
    )


def _esds(specific: bytes, config: aac.AacConfig) -> bytes:
    """Return the elementary stream descriptor.

    The buffer and the maximum rate are the limits of the codec, because the encoder's settings are
    unknown. An average rate of 0 means that the rate is variable.
    """
    buffer_bits = _AAC_BUFFER_BITS * config.channels
    most_bits = buffer_bits * config.sample_rate // config.samples_per_frame
    decoder = _descriptor(
        _DECODER_CONFIG,
        bytes((_OBJECT_TYPE_AAC, _STREAM_TYPE_AUDIO)),
        (buffer_bits // 8).to_bytes(3, "big"),
        struct.pack(">II", most_bits, 0),
        _descriptor(_DECODER_SPECIFIC, specific),
    )
    es_id_and_flags = bytes(3)  # ES_ID 0 in a file (ISO/IEC 14496-14 clause 4.1.2)
    body = _descriptor(
        _ES_DESCRIPTOR, es_id_and_flags, decoder, _descriptor(_SL_CONFIG, _SL_PREDEFINED_MP4)
    )
    return full_box(b"esds", 0, 0, body)


def _descriptor(tag: int, *parts: bytes) -> bytes:
    """Return a descriptor with its size in four bytes (ISO/IEC 14496-1 clause 8.3.3)."""
    body = b"".join(parts)
    size = len(body)
    head = (tag, 0x80 | size >> 21, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F, size & 0x7F)
    return bytes(head) + body
