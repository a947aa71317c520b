"""Codecs: decoder configurations, and the units at which decoding can start.

All functions are pure, from bytes to facts. Each codec has a module::

    h264.parse_avcc(config) -> AvcConfig      h264.is_random_access(payload, nal_length_size)
    hevc.parse_hvcc(config) -> HevcConfig     hevc.is_random_access(payload, nal_length_size)
    aac.parse_asc(config) -> AacConfig        aac.adts_header(config, payload_len)

Input comes from the network. Every parser is therefore bounded, and raises only
:class:`CodecError`.
"""

from sluice_media.formats.codecs.errors import CodecError

__all__ = ["CodecError"]
