"""FLV, as a byte stream and as the payload of RTMP messages (the two are the same), sans-io.

:class:`TagReader` and :func:`encode_tag` frame it, :class:`FlvDemuxer` makes access units of it,
:class:`FlvMuxer` makes it of access units.
"""

from sluice_media.flv.demux import DemuxEvent, FlvDemuxer, Metadata
from sluice_media.flv.errors import FlvError, UnsupportedCodec
from sluice_media.flv.mux import FlvMuxer, metadata_payload
from sluice_media.flv.tags import FILE_HEADER, FlvTag, TagReader, TagType, encode_tag

__all__ = [
    "FILE_HEADER",
    "DemuxEvent",
    "FlvDemuxer",
    "FlvError",
    "FlvMuxer",
    "FlvTag",
    "Metadata",
    "TagReader",
    "TagType",
    "UnsupportedCodec",
    "encode_tag",
    "metadata_payload",
]
