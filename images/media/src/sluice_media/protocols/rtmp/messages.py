"""RTMP messages: what the chunk stream carries, whole.

Source: Adobe RTMP 1.0 (2012), clauses 5.4 (protocol control), 6.2 (user control), 7.1 (types).
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
    STREAM_BEGIN = 0
    PING_REQUEST = 6
    PING_RESPONSE = 7


@dataclass(slots=True)
class Message:
    type_id: int
    """A :class:`MessageType`, or a number that we do not know."""
    timestamp: int
    """Milliseconds, 32 bits, wrapping."""
    stream_id: int
    payload: bytes = field(repr=False)


@dataclass(slots=True, frozen=True)
class Command:
    name: str
    transaction: float
    """0: no answer is expected."""
    arguments: list[amf0.Value] = field(repr=False)
    """After the transaction id; the first is the command object, usually None."""

    def text(self, index: int) -> str:
        """The argument as a string; empty when it is missing or something else."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, str) else ""

    def properties(self, index: int) -> dict[str, amf0.Value]:
        """The argument as an object; empty when it is missing or something else."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, dict) else {}


def parse_command(message: Message) -> Command:
    """Reads a command message (7.1.1), AMF0 or AMF3. Raises RtmpError.

    An AMF3 command starts with a zero byte; its values are AMF0 in every encoder known.
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
        raise RtmpError("a command without a name or with a transaction id that is no number")
    return Command(name, transaction, values[2:])


def split_aggregate(message: Message) -> Iterator[Message]:
    """The messages inside an aggregate message (7.1.6), with absolute timestamps.

    Raises RtmpError when they do not fit the aggregate.
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
            raise RtmpError("an aggregate message does not hold what it says")
        timestamp = int.from_bytes(data[position + 4 : position + 7], "big")
        timestamp |= data[position + 7] << 24
        if first_timestamp is None:
            first_timestamp = timestamp
        shifted = (message.timestamp + timestamp - first_timestamp) & 0xFFFFFFFF
        yield Message(data[position], shifted, message.stream_id, data[body:end])
        position = end + _BACK_POINTER_BYTES
