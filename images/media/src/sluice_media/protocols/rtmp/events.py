"""Events of the two sessions. Fields that may hold a key are left out of every repr."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, frozen=True)
class PublishRequested:
    """A request to publish, to be answered by ``accept_publish()`` or ``reject_publish()``."""

    app: str = field(repr=False)
    stream_key: str = field(repr=False)
    """The stream name with its query, verbatim."""


@dataclass(slots=True)
class Media:
    """An audio, video or data message.

    The class is not frozen, because that makes the constructor three times as slow, and there is
    one message for every frame.
    """

    type_id: int
    """MessageType.AUDIO, VIDEO or DATA. FLV tag types have equal numbers."""
    timestamp_ms: int
    """Timestamp of 32 bits, wrapping."""
    payload: bytes = field(repr=False)
    """Payload as in an FLV tag: data starts with a name such as ``onMetaData``, never with
    ``@setDataFrame``."""


@dataclass(slots=True, frozen=True)
class PublishStopped:
    """A proper end of the stream by its publisher."""


@dataclass(slots=True, frozen=True)
class PlayRefused:
    """A request to play, which was answered with NetStream.Play.Failed."""


@dataclass(slots=True, frozen=True)
class PublishAccepted:
    """The server's acceptance: media may be sent from now on."""


@dataclass(slots=True, frozen=True)
class ConnectRejected:
    """The server's refusal of the application."""

    code: str
    description: str


@dataclass(slots=True, frozen=True)
class PublishRejected:
    """The server's refusal of the stream key."""

    code: str
    description: str


@dataclass(slots=True, frozen=True)
class CodecsNotAnnounced:
    """Codecs that the server did not announce (Enhanced RTMP). Nothing was published."""

    fourccs: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Closed:
    """The end of a running publish by the server."""

    code: str
    description: str


ServerEvent = PublishRequested | Media | PublishStopped | PlayRefused
ClientEvent = PublishAccepted | PublishRejected | ConnectRejected | CodecsNotAnnounced | Closed
