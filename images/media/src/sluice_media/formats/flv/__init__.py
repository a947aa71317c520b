"""FLV, as a byte stream and as the payload of RTMP messages, which is the same (sans-io).

:class:`TagReader` and :func:`encode_tag` frame the tags. :class:`FlvDemuxer` turns them into access
units, :class:`FlvMuxer` turns access units into tags.
"""

from sluice_media.formats.flv.demux import FlvDemuxer
from sluice_media.formats.flv.mux import FlvMuxer, metadata_payload
from sluice_media.formats.flv.tags import FILE_HEADER, FlvTag, TagReader, TagType, encode_tag

__all__ = [
    "FILE_HEADER",
    "FlvDemuxer",
    "FlvMuxer",
    "FlvTag",
    "TagReader",
    "TagType",
    "encode_tag",
    "metadata_payload",
]
