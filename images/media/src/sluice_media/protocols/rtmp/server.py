"""The server side of an RTMP connection that publishes (sans-io).

Bytes from the publisher go into :meth:`ServerSession.feed`, events come out. After every call,
:meth:`ServerSession.take_output` returns the bytes to send.

Sources: Adobe RTMP 1.0 (2012), clause 7.2; ``releaseStream``, ``FCPublish``, ``FCUnpublish`` and
``onFCPublish`` as Flash Media Live Encoder and OBS (librtmp) use them; Enhanced RTMP v2,
"Enhancing NetConnection connect Command".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto

from sluice_media.formats import amf0
from sluice_media.protocols.rtmp.chunk import ChunkLimits
from sluice_media.protocols.rtmp.errors import RtmpError
from sluice_media.protocols.rtmp.events import (
    Media,
    PlayRefused,
    PublishRequested,
    PublishStopped,
    ServerEvent,
)
from sluice_media.protocols.rtmp.handshake import ServerHandshake
from sluice_media.protocols.rtmp.link import Link
from sluice_media.protocols.rtmp.messages import (
    MEDIA_TYPES,
    Command,
    Message,
    MessageType,
    parse_command,
    split_aggregate,
)

BAD_NAME = "NetStream.Publish.BadName"
_START = "NetStream.Publish.Start"
_OUT_CHUNK_BYTES = 4_096
_MAX_NAME_CHARS = 1_024
_MESSAGE_HEADER_BYTES = 12
_MAX_STREAMS = 16
_MAX_FOURCCS = 32
_SET_DATA_FRAME = amf0.encode("@setDataFrame")
_CAN_FORWARD = 4
"""Enhanced RTMP v2, FourCcInfoMask.CanForward."""
_FOURCCS = ("avc1", "hvc1", "mp4a")


class _State(Enum):
    HANDSHAKE = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    REQUESTED = auto()
    PUBLISHING = auto()
    REFUSED = auto()


class ServerSession:
    """One connection. A PublishRequested event is answered with a method.

    Encoders send in this order: ``connect``, ``releaseStream``, ``FCPublish``, ``createStream``,
    ``publish``, media, ``FCUnpublish``, ``deleteStream``. Media that an encoder sends before its
    publish was accepted is returned, too.
    """

    def __init__(self, limits: ChunkLimits | None = None) -> None:
        self._handshake: ServerHandshake | None = ServerHandshake()
        self._link = Link(limits)
        self._state = _State.HANDSHAKE
        self._app = ""
        self._streams = 0
        self._publish_stream = 0
        self._fc_publish = False
        self._commands: dict[str, Callable[[Message, Command], Iterable[ServerEvent]]] = {
            "connect": self._on_connect,
            "releaseStream": self._on_release_stream,
            "FCPublish": self._on_fc_publish,
            "createStream": self._on_create_stream,
            "publish": self._on_publish,
            "FCUnpublish": self._on_stop,
            "closeStream": self._on_stop,
            "deleteStream": self._on_stop,
            "play": self._on_play,
            "play2": self._on_play,
            "getStreamLength": self._on_get_stream_length,
        }

    @property
    def handshake_done(self) -> bool:
        """True when the handshake is complete."""
        return self._handshake is None

    @property
    def publish_requested(self) -> bool:
        """True while a PublishRequested waits for its answer."""
        return self._state is _State.REQUESTED

    @property
    def publishing(self) -> bool:
        """True from the acceptance of a publish to its end."""
        return self._state is _State.PUBLISHING

    @property
    def awaited_bytes(self) -> int:
        """Minimum number of bytes after which :meth:`feed` can return an event.

        While media flows it is larger than a message header, which some encoders send alone.
        """
        if self._state is not _State.PUBLISHING:
            return 1
        return max(_MESSAGE_HEADER_BYTES + 1, self._link.reader.missing_bytes)

    @property
    def unfinished_bytes(self) -> int:
        """Bytes received of incomplete messages."""
        return self._link.reader.unfinished_bytes

    def take_output(self) -> bytes:
        """Return the bytes to send to the publisher and forget them."""
        return self._link.take_output()

    def feed(self, data: bytes) -> list[ServerEvent]:
        """Take bytes from the publisher. Raise RtmpError; then the connection is unusable."""
        if self._handshake is not None:
            self._link.queue(self._handshake.feed(data))
            if not self._handshake.done:
                return []
            data = self._handshake.rest
            self._handshake = None
            self._state = _State.CONNECTING
        events: list[ServerEvent] = []
        for message in self._link.feed(data):
            if message.type_id in MEDIA_TYPES:
                self._media(message, events)
            else:
                self._other(message, events)
        return events

    def accept_publish(self) -> None:
        """Accept a PublishRequested."""
        self._expect(_State.REQUESTED)
        self._state = _State.PUBLISHING
        self._link.stream_begin(self._publish_stream)
        if self._fc_publish:
            self._link.command(
                self._publish_stream,
                "onFCPublish",
                0.0,
                None,
                {"code": _START, "description": "Publishing"},
            )
        self._on_status("status", _START, "Publishing")

    def reject_publish(self, code: str, description: str) -> None:
        """Refuse a PublishRequested. The caller closes the connection afterwards."""
        self._expect(_State.REQUESTED)
        self._state = _State.REFUSED
        self._on_status("error", code, description)

    def end_publish(self, code: str, description: str) -> None:
        """Send a running publisher the reason for its end. The caller closes the connection."""
        self._expect(_State.PUBLISHING)
        self._state = _State.REFUSED
        self._on_status("error", code, description)

    def _expect(self, state: _State) -> None:
        if self._state is not state:
            raise RuntimeError(f"the session is in state {self._state.name}, not {state.name}")

    def _on_status(self, level: str, code: str, description: str) -> None:
        status = {"level": level, "code": code, "description": description}
        self._link.command(self._publish_stream, "onStatus", 0.0, None, status)

    # ------------------------------------------------------------------ messages

    def _media(self, message: Message, events: list[ServerEvent]) -> None:
        if self._state not in (_State.REQUESTED, _State.PUBLISHING):
            return
        payload = message.payload
        if message.type_id == MessageType.DATA and payload.startswith(_SET_DATA_FRAME):
            payload = payload[len(_SET_DATA_FRAME) :]
        events.append(Media(message.type_id, message.timestamp, payload))

    def _other(self, message: Message, events: list[ServerEvent]) -> None:
        if message.type_id in (MessageType.COMMAND, MessageType.COMMAND_AMF3):
            command = parse_command(message)
            handler = self._commands.get(command.name)
            if handler is None:
                return  # _checkbw, onStatus and others that need no answer
            if self._state is _State.CONNECTING and command.name != "connect":
                raise RtmpError("a command came before connect")
            events.extend(handler(message, command))
        elif message.type_id == MessageType.DATA_AMF3:
            inner = Message(
                MessageType.DATA, message.timestamp, message.stream_id, message.payload[1:]
            )
            self._media(inner, events)
        elif message.type_id == MessageType.AGGREGATE:
            for part in split_aggregate(message):
                if part.type_id in MEDIA_TYPES:
                    self._media(part, events)

    # ------------------------------------------------------------------ commands

    def _on_connect(self, _: Message, command: Command) -> Iterable[ServerEvent]:
        if self._state is not _State.CONNECTING:
            raise RtmpError("a second connect on one connection")
        self._state = _State.CONNECTED
        properties = command.properties(0)
        self._app = _name(properties.get("app"))
        self._link.announce_window()
        self._link.announce_bandwidth()
        self._link.announce_chunk_size(_OUT_CHUNK_BYTES)
        server: dict[str, amf0.Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0}
        if _is_enhanced(properties):
            server["fourCcList"] = list(_FOURCCS)
            server["videoFourCcInfoMap"] = {"avc1": _CAN_FORWARD, "hvc1": _CAN_FORWARD}
            server["audioFourCcInfoMap"] = {"mp4a": _CAN_FORWARD}
        status: dict[str, amf0.Value] = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "Connection succeeded.",
            # AMF0 even when the client requests AMF3: all known encoders send AMF0 commands.
            "objectEncoding": 0.0,
        }
        self._link.command(0, "_result", command.transaction, server, status)
        # Refusals are sent at publish, because encoders show those to their users.
        return ()

    def _on_release_stream(self, _: Message, command: Command) -> Iterable[ServerEvent]:
        if command.transaction:
            self._link.command(0, "_result", command.transaction, None, None)
        return ()

    def _on_fc_publish(self, _: Message, command: Command) -> Iterable[ServerEvent]:
        self._fc_publish = True
        if command.transaction:
            self._link.command(0, "_result", command.transaction, None, None)
        return ()

    def _on_create_stream(self, _: Message, command: Command) -> Iterable[ServerEvent]:
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise RtmpError("too many streams on one connection")
        self._link.command(0, "_result", command.transaction, None, float(self._streams))
        return ()

    def _on_publish(self, message: Message, command: Command) -> Iterable[ServerEvent]:
        if self._state is not _State.CONNECTED:
            raise RtmpError("publish came twice")
        self._state = _State.REQUESTED
        self._publish_stream = message.stream_id
        yield PublishRequested(
            app=self._app,
            stream_key=_name(command.text(1)),
        )

    def _on_stop(self, _: Message, command: Command) -> Iterable[ServerEvent]:
        if self._state not in (_State.REQUESTED, _State.PUBLISHING):
            return
        self._state = _State.CONNECTED
        if command.name == "FCUnpublish" and command.transaction:
            self._link.command(0, "_result", command.transaction, None, None)
        yield PublishStopped()

    def _on_play(self, message: Message, _: Command) -> Iterable[ServerEvent]:
        self._publish_stream = message.stream_id
        self._on_status("error", "NetStream.Play.Failed", "This server only takes publishers.")
        self._state = _State.REFUSED
        yield PlayRefused()

    def _on_get_stream_length(self, _: Message, command: Command) -> Iterable[ServerEvent]:
        self._link.command(0, "_result", command.transaction, None, 0.0)
        return ()


def _name(value: object) -> str:
    if not isinstance(value, str):
        return ""
    if len(value) > _MAX_NAME_CHARS:
        raise RtmpError("a name is longer than the limit")
    return value


def _is_enhanced(properties: dict[str, amf0.Value]) -> bool:
    """Return whether the client lists codecs by FourCC (Enhanced RTMP v2)."""
    given = properties.get("fourCcList")
    return isinstance(given, list) and any(isinstance(f, str) for f in given[:_MAX_FOURCCS])
