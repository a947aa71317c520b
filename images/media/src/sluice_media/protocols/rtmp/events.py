"""What the two sessions tell their owner. Fields that may hold a key stay out of every repr."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, frozen=True)
class PublishRequested:
    """A publisher waits for ``accept_publish()`` or ``reject_publish()``."""

    app: str = field(repr=False)
    stream_key: str = field(repr=False)
    """The stream name with its query, verbatim."""


@dataclass(slots=True)
class Media:
    """An audio, video or data message. Not frozen: that makes the constructor three times as slow,
    and there is one for every frame."""

    type_id: int
    """MessageType.AUDIO, VIDEO or DATA; the same numbers as FLV tag types."""
    timestamp_ms: int
    """32 bits, wrapping."""
    payload: bytes = field(repr=False)
    """As in an FLV tag: data starts with ``onMetaData`` and the like, never ``@setDataFrame``."""


@dataclass(slots=True, frozen=True)
class PublishStopped:
    """The publisher ended its stream in order."""


@dataclass(slots=True, frozen=True)
class PlayRefused:
    """Somebody wanted to play and was told NetStream.Play.Failed."""


@dataclass(slots=True, frozen=True)
class PublishAccepted:
    """The server takes media from now on."""


@dataclass(slots=True, frozen=True)
class ConnectRejected:
    """The server refused the application."""

    code: str
    description: str


@dataclass(slots=True, frozen=True)
class PublishRejected:
    """The server refused the stream key."""

    code: str
    description: str


@dataclass(slots=True, frozen=True)
class CodecsNotAnnounced:
    """The server does not say that it takes these codecs (Enhanced RTMP); nothing was published."""

    fourccs: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Closed:
    """The server ended a running publish."""

    code: str
    description: str


ServerEvent = PublishRequested | Media | PublishStopped | PlayRefused
ClientEvent = PublishAccepted | PublishRejected | ConnectRejected | CodecsNotAnnounced | Closed
