"""RTMP for publishing, both ends, without any I/O: bytes in, events and bytes out.

:class:`ServerSession` is what the gateway speaks to encoders, :class:`ClientSession` what a pusher
speaks to a platform. Hostile input raises :class:`RtmpError` and nothing else.
"""

from sluice_media.protocols.rtmp.chunk import ChunkLimits
from sluice_media.protocols.rtmp.client import ClientSession
from sluice_media.protocols.rtmp.errors import RtmpError, RtmpUrlError
from sluice_media.protocols.rtmp.events import (
    ClientEvent,
    Closed,
    CodecsNotAnnounced,
    ConnectRejected,
    Media,
    PlayRefused,
    PublishAccepted,
    PublishRejected,
    PublishRequested,
    PublishStopped,
    ServerEvent,
)
from sluice_media.protocols.rtmp.messages import MessageType
from sluice_media.protocols.rtmp.server import BAD_NAME, ServerSession
from sluice_media.protocols.rtmp.url import RtmpUrl, parse_rtmp_url

__all__ = [
    "BAD_NAME",
    "ChunkLimits",
    "ClientEvent",
    "ClientSession",
    "Closed",
    "CodecsNotAnnounced",
    "ConnectRejected",
    "Media",
    "MessageType",
    "PlayRefused",
    "PublishAccepted",
    "PublishRejected",
    "PublishRequested",
    "PublishStopped",
    "RtmpError",
    "RtmpUrl",
    "RtmpUrlError",
    "ServerEvent",
    "ServerSession",
    "parse_rtmp_url",
]
