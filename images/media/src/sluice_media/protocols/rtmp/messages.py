"""RTMP messages: the units that the chunk stream carries.

In: complete messages. Out: commands, and the parts of aggregates. Source: Adobe RTMP 1.0 (2012),
clauses 5.4 (protocol control), 6.2 (user control), 7.1 (types).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from sluice_media.formats import amf0
from sluice_media.protocols.rtmp.errors import RtmpError

_MAX_AGGREGATED = 1_024
_TAG_HEAD_BYTES = 11
_BACK_POINTER_BYTES = 4


class MessageType(IntEnum):
    """Message type ids."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20
    AGGREGATE = 22


MEDIA_TYPES = frozenset((MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA))


class UserControl(IntEnum):
    """Event types of a user control message."""

    STREAM_BEGIN = 0
    PING_REQUEST = 6
    PING_RESPONSE = 7


@dataclass(slots=True)
class Message:
    """A complete message."""

    type_id: int
    """A :class:`MessageType`, or an unknown number."""
    timestamp: int
    """Milliseconds, 32 bits, wrapping."""
    stream_id: int
    payload: bytes = field(repr=False)


@dataclass(slots=True, frozen=True)
class Command:
    """A decoded command message."""

    name: str
    transaction: float
    """Transaction id; 0 when no answer is expected."""
    arguments: list[amf0.Value] = field(repr=False)
    """Values after the transaction id. The first is the command object, usually None."""

    def text(self, index: int) -> str:
        """Return the argument if it is a string, otherwise an empty string."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, str) else ""

    def properties(self, index: int) -> dict[str, amf0.Value]:
        """Return the argument if it is an object, otherwise an empty dictionary."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, dict) else {}


def parse_command(message: Message) -> Command:
    """Decode a command message (7.1.1), AMF0 or AMF3. Raise RtmpError.

    An AMF3 command starts with a zero byte. All known encoders send AMF0 values after it.
    """
    payload = message.payload
    if message.type_id == MessageType.COMMAND_AMF3 and payload[:1] == b"\x00":
        payload = payload[1:]
    try:
        values = amf0.decode(payload)
    except amf0.AmfError as broken:
        raise RtmpError(str(broken)) from broken
    name = values[0] if values else None
    transaction = values[1] if len(values) > 1 else 0.0
    if not isinstance(name, str) or not isinstance(transaction, float):
        raise RtmpError("a command has no name, or its transaction id is not a number")
    return Command(name, transaction, values[2:])


def split_aggregate(message: Message) -> Iterator[Message]:
    """Yield the messages inside an aggregate message (7.1.6), with absolute timestamps.

    Raise RtmpError when a length inside does not fit the aggregate.
    """
    data = message.payload
    position = 0
    first_timestamp: int | None = None
    count = 0
    while position < len(data):
        count += 1
        body = position + _TAG_HEAD_BYTES
        length = int.from_bytes(data[position + 1 : position + 4], "big")
        end = body + length
        if end > len(data) or count > _MAX_AGGREGATED:
            raise RtmpError("the lengths inside an aggregate message do not fit it")
        timestamp = int.from_bytes(data[position + 4 : position + 7], "big")
        timestamp |= data[position + 7] << 24
        if first_timestamp is None:
            first_timestamp = timestamp
        shifted = (message.timestamp + timestamp - first_timestamp) & 0xFFFFFFFF
        yield Message(data[position], shifted, message.stream_id, data[body:end])
        position = end + _BACK_POINTER_BYTES
