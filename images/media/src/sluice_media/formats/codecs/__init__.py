"""What the codecs say about themselves: decoder configurations, and where decoding can start.

Everything here is a pure function from bytes to facts, one module per codec::

    h264.parse_avcc(config) -> AvcConfig      h264.is_random_access(payload, nal_length_size)
    hevc.parse_hvcc(config) -> HevcConfig     hevc.is_random_access(payload, nal_length_size)
    aac.parse_asc(config) -> AacConfig        aac.adts_header(config, payload_len)

Input comes from the network, so every parser is bounded and raises :class:`CodecError` and
nothing else.
"""

from sluice_media.formats.codecs.errors import CodecError

__all__ = ["CodecError"]
