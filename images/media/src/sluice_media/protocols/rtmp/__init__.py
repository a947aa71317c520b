"""RTMP for publishing, server and client, without I/O: bytes in, events and bytes out.

The gateway uses :class:`ServerSession` for encoders. The pusher uses :class:`ClientSession` for
platforms. Hostile input raises :class:`RtmpError` and no other error.
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
