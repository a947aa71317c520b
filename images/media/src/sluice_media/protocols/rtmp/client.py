"""The client side of an RTMP connection that publishes (sans-io).

Bytes from the server go into :meth:`ClientSession.feed`, events come out. After every call,
:meth:`ClientSession.take_output` returns the bytes to send. After ``PublishAccepted``,
:meth:`ClientSession.media_buffers` turns media into bytes.

Sources: Adobe RTMP 1.0 (2012), clause 7.2; Enhanced RTMP v2 for ``fourCcList``. The order of
commands is that of Flash Media Live Encoder and OBS, which every platform accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum, auto

from sluice_media.formats import amf0
from sluice_media.protocols.rtmp.chunk import ChunkLimits
from sluice_media.protocols.rtmp.errors import RtmpError
from sluice_media.protocols.rtmp.events import (
    ClientEvent,
    Closed,
    CodecsNotAnnounced,
    ConnectRejected,
    PublishAccepted,
    PublishRejected,
)
from sluice_media.protocols.rtmp.handshake import ClientHandshake
from sluice_media.protocols.rtmp.link import Link
from sluice_media.protocols.rtmp.messages import Command, MessageType, parse_command

_FLASH_VERSION = "FMLE/3.0 (compatible; Sluice)"
_CONNECT, _RELEASE, _FC_PUBLISH, _CREATE, _PUBLISH = 1.0, 2.0, 3.0, 4.0, 5.0
_CSIDS: dict[int, int] = {MessageType.AUDIO: 4, MessageType.VIDEO: 6, MessageType.DATA: 5}
_SET_DATA_FRAME = amf0.encode("@setDataFrame")
_METADATA = amf0.encode("onMetaData")
_ANY_CODEC = "*"
_OUR_FOURCCS = ("hvc1",)
_MAX_FOURCCS = 64
_MAX_DESCRIPTION_CHARS = 300
_MIN_SECRET_CHARS = 8
"""Minimum length of a key's part that is removed from texts. A shorter part may be a word such as
``live``, and its removal would garble status codes."""


class _State(Enum):
    HANDSHAKE = auto()
    CONNECTING = auto()
    CREATING = auto()
    PUBLISHING = auto()
    ACCEPTED = auto()
    OVER = auto()


class ClientSession:
    """One connection to a target. ``take_output()`` holds the first bytes from the beginning."""

    def __init__(
        self,
        *,
        app: str,
        tc_url: str,
        stream_key: str,
        needs: Collection[str] = (),
        chunk_bytes: int = 4_096,
        limits: ChunkLimits | None = None,
    ) -> None:
        """Prepare a connection.

        ``app`` and ``tc_url`` are as in :class:`~sluice_media.protocols.rtmp.url.RtmpUrl`.
        ``stream_key`` is sent verbatim, with its query. ``needs`` are the four-character codes that
        the server must announce. If one is missing, CodecsNotAnnounced is the result and nothing is
        published. ``chunk_bytes`` is our chunk size.
        """
        self._app = app
        self._tc_url = tc_url
        self._stream_key = stream_key
        self._needs = tuple(sorted(needs))
        self._announced: frozenset[str] = frozenset()
        self._chunk_bytes = chunk_bytes
        self._handshake: ClientHandshake | None = ClientHandshake()
        self._link = Link(limits)
        self._link.queue(self._handshake.start())
        self._state = _State.HANDSHAKE
        self._stream_id = 0
        self._commands: dict[str, Callable[[Command], Iterable[ClientEvent]]] = {
            "_result": self._on_result,
            "_error": self._on_error,
            "onStatus": self._on_status,
            "close": self._on_close,
        }

    @property
    def accepted(self) -> bool:
        """True when media may be sent."""
        return self._state is _State.ACCEPTED

    @property
    def acknowledged_bytes(self) -> int:
        """Bytes that the server acknowledged, modulo 2^32. Many servers never acknowledge."""
        return self._link.acknowledged_bytes

    def take_output(self) -> bytes:
        """Return the bytes to send to the server and forget them."""
        return self._link.take_output()

    def feed(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the server. Raise RtmpError; then the connection is unusable."""
        if self._handshake is not None:
            self._link.queue(self._handshake.feed(data))
            if not self._handshake.done:
                return []
            data = self._handshake.rest
            self._handshake = None
            self._connect()
        events: list[ClientEvent] = []
        for message in self._link.feed(data):
            if message.type_id in (MessageType.COMMAND, MessageType.COMMAND_AMF3):
                command = parse_command(message)
                handler = self._commands.get(command.name)
                if handler is not None:
                    events.extend(handler(command))
        return events

    def takes(self, fourcc: str) -> bool:
        """Return whether the server announced this codec in its answer to ``connect``."""
        return fourcc in self._announced or _ANY_CODEC in self._announced

    def acknowledge(self) -> bytes:
        """Return an Acknowledgement message. It keeps a connection open on which nothing flows."""
        return self._link.acknowledgement()

    def media_buffers(
        self, type_id: int, timestamp_ms: int, payload: bytes
    ) -> list[bytes | memoryview]:
        """Return an audio, video or data message as buffers to send in order.

        ``type_id`` is the type of the FLV tag. ``onMetaData`` is sent as ``@setDataFrame``, so that
        the server keeps it for its players.
        """
        if self._state is not _State.ACCEPTED:
            raise RuntimeError(f"nothing can be sent in state {self._state.name}")
        if type_id == MessageType.DATA and payload.startswith(_METADATA):
            payload = _SET_DATA_FRAME + payload
        return self._link.writer.buffers(
            _CSIDS[type_id], type_id, self._stream_id, timestamp_ms, payload
        )

    def close(self) -> bytes:
        """Return the commands that end the stream properly; empty when no stream was begun."""
        state, self._state = self._state, _State.OVER
        if state in (_State.PUBLISHING, _State.ACCEPTED):
            self._link.command(0, "FCUnpublish", 6.0, None, self._stream_key)
            self._link.command(0, "deleteStream", 7.0, None, float(self._stream_id))
        return self.take_output()

    # ------------------------------------------------------------------ commands

    def _connect(self) -> None:
        self._state = _State.CONNECTING
        self._link.announce_chunk_size(self._chunk_bytes)
        properties: dict[str, amf0.Value] = {
            "app": self._app,
            "type": "nonprivate",
            "flashVer": _FLASH_VERSION,
            "tcUrl": self._tc_url,
            "fourCcList": list(_OUR_FOURCCS),
        }
        self._link.command(0, "connect", _CONNECT, properties)

    def _on_result(self, command: Command) -> Iterable[ClientEvent]:
        if command.transaction == _CONNECT and self._state is _State.CONNECTING:
            self._announced = _announced(command)
            if missing := tuple(f for f in self._needs if not self.takes(f)):
                self._state = _State.OVER
                return (CodecsNotAnnounced(missing),)
            self._state = _State.CREATING
            self._link.announce_window()
            self._link.command(0, "releaseStream", _RELEASE, None, self._stream_key)
            self._link.command(0, "FCPublish", _FC_PUBLISH, None, self._stream_key)
            self._link.command(0, "createStream", _CREATE, None)
        elif command.transaction == _CREATE and self._state is _State.CREATING:
            number = command.arguments[1] if len(command.arguments) > 1 else None
            if not isinstance(number, float) or not 0 <= number < 1 << 32:
                raise RtmpError("the server created a stream without a number")
            self._state = _State.PUBLISHING
            self._stream_id = int(number)
            self._link.command(self._stream_id, "publish", _PUBLISH, None, self._stream_key, "live")
        return ()

    def _on_error(self, command: Command) -> Iterable[ClientEvent]:
        if command.transaction == _CONNECT and self._state is _State.CONNECTING:
            self._state = _State.OVER
            yield ConnectRejected(*self._reason(command, "NetConnection.Connect.Rejected"))
        elif command.transaction in (_CREATE, _PUBLISH) and self._state is not _State.OVER:
            # releaseStream and FCPublish may fail: many servers do not support them.
            self._state = _State.OVER
            yield PublishRejected(*self._reason(command, "NetStream.Publish.Failed"))

    def _on_status(self, command: Command) -> Iterable[ClientEvent]:
        code, description = self._reason(command, "")
        if code == "NetStream.Publish.Start" and self._state is _State.PUBLISHING:
            self._state = _State.ACCEPTED
            yield PublishAccepted()
        elif command.properties(1).get("level") == "error" or code in (
            "NetStream.Unpublish.Success",
            "NetConnection.Connect.Closed",
        ):
            yield from self._ended(code, description)

    def _on_close(self, _: Command) -> Iterable[ClientEvent]:
        yield from self._ended("NetConnection.Connect.Closed", "the server closed the connection")

    def _ended(self, code: str, description: str) -> Iterable[ClientEvent]:
        state, self._state = self._state, _State.OVER
        if state is _State.ACCEPTED:
            yield Closed(code, description)
        elif state is _State.CONNECTING:
            yield ConnectRejected(code, description)
        elif state is not _State.OVER:
            yield PublishRejected(code, description)

    def _reason(self, command: Command, default: str) -> tuple[str, str]:
        """Return code and description of a status, without the key, which servers often quote."""
        status = command.properties(1) or command.properties(0)
        code, description = status.get("code"), status.get("description")
        return (
            self._clean(code) if isinstance(code, str) and code else default,
            self._clean(description) if isinstance(description, str) else "",
        )

    def _clean(self, text: str) -> str:
        secrets = {self._stream_key, *self._stream_key.split("?", 1)}
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= _MIN_SECRET_CHARS:
                text = text.replace(secret, "***")
        printable = "".join(c if c.isprintable() else " " for c in text)
        return printable[:_MAX_DESCRIPTION_CHARS]


def _announced(command: Command) -> frozenset[str]:
    """Return the codecs that the server announced in its answer to ``connect``.

    These are ``fourCcList`` and the keys of ``videoFourCcInfoMap`` with any capability (Enhanced
    RTMP v2, "Enhancing NetConnection").
    """
    found: set[str] = set()
    for properties in (command.properties(0), command.properties(1)):
        listed = properties.get("fourCcList")
        if isinstance(listed, list):
            found.update(f for f in listed[:_MAX_FOURCCS] if isinstance(f, str))
        by_name = properties.get("videoFourCcInfoMap")
        if isinstance(by_name, Mapping):
            found.update(f for f, mask in by_name.items() if isinstance(mask, float) and mask > 0)
    return frozenset(found)
