"""The RTMP chunk stream (sans-io): bytes in and messages out, messages in and bytes out.

Source: Adobe RTMP 1.0 (2012), clause 5.3 (chunking) and 5.4 (Set Chunk Size, Abort Message).

Publishers with the default chunk size of 128 bytes send thousands of chunks a second. Runs of whole
continuation chunks are therefore handled together: strided slices check and remove their headers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from sluice_media.protocols.rtmp.errors import RtmpError
from sluice_media.protocols.rtmp.messages import Message, MessageType

DEFAULT_CHUNK_BYTES = 128
_MAX_CHUNK_BYTES = 0xFFFFFF
"""Maximum chunk size. A message's length has 24 bits, so a larger size makes no difference."""
_EXTENDED = 0xFFFFFF
_U32_MASK = 0xFFFFFFFF
_PLAUSIBLE_DELTA_MS = 10_000
_RUN_CHUNKS = 256
"""Maximum number of chunks per run, so that the cost of interleaved tiny chunks stays linear."""
_HEADER_BYTES = (11, 7, 3, 0)
_U32 = struct.Struct("!I")
_U64 = struct.Struct("!Q")


@dataclass(slots=True, frozen=True)
class ChunkLimits:
    """Limits of the memory and time that a peer may use."""

    message_bytes: int = 8 << 20
    """Maximum size of a message. A keyframe of a 50 Mb/s stream has about 1 MB."""
    partial_bytes: int = 12 << 20
    """Maximum size of all incomplete messages together."""
    chunk_streams: int = 64
    """Maximum number of chunk stream ids. Encoders use 4 to 6."""
    empty_messages: int = 256
    """Maximum number of empty messages in a row. Each costs the peer one byte."""


@dataclass(slots=True)
class _ChunkStream:
    """The state of one chunk stream: the last message header, and an incomplete message."""

    timestamp: int = 0
    delta: int = 0
    length: int = 0
    type_id: int = 0
    stream_id: int = 0
    extended: bytes = b""
    """The extended timestamp field of the last message header; empty when it had none."""
    repeated: bytes | None = None
    """Extended timestamp in the continuation chunks of this message; None before the first of
    these chunks."""
    partial: bytearray = field(default_factory=bytearray)


class ChunkReader:
    """A parser of a byte stream into messages. ``feed()`` accepts any split of the stream.

    Set Chunk Size and Abort take effect here. They are returned like every other message.
    """

    def __init__(self, limits: ChunkLimits | None = None) -> None:
        self._limits = limits or ChunkLimits()
        self._buffer = bytearray()
        self._position = 0
        self._streams: dict[int, _ChunkStream] = {}
        self._partial_bytes = 0
        self._empty_in_a_row = 0
        self._current: _ChunkStream | None = None
        self.chunk_bytes = DEFAULT_CHUNK_BYTES
        """The peer's chunk size."""
        self.missing_bytes = 0
        """Minimum number of bytes until the message in progress is complete; 0 without one."""

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes and return the messages that are complete now.

        Raise RtmpError when the peer breaks the protocol or a limit. Then the connection is
        unusable, and earlier messages in ``data`` are lost.
        """
        buffer = self._buffer
        buffer += data
        size = len(buffer)
        messages: list[Message] = []
        while self._position < size and self._read_chunk(messages):
            pass
        if self._position == size:
            buffer.clear()
        else:
            del buffer[: self._position]
        self._position = 0
        self.missing_bytes = self._count_missing()
        return messages

    @property
    def unfinished_bytes(self) -> int:
        """Bytes received of incomplete messages."""
        return self._partial_bytes + len(self._buffer)

    def _count_missing(self) -> int:
        current = self._current
        if current is None or not current.partial:
            return 0
        left = current.length - len(current.partial)
        # A continuation chunk's header has one byte at least.
        return max(0, left + -(-left // self.chunk_bytes) - len(self._buffer))

    def _read_chunk(self, messages: list[Message]) -> bool:
        """Read one chunk or a run of chunks. Return False when bytes are missing."""
        buffer = self._buffer
        position = self._position
        first = buffer[position]
        csid = first & 0x3F
        start = position + 1
        if csid < 2:
            start += 1 + csid
            if len(buffer) < start:
                return False
            csid = 64 + buffer[position + 1] + (buffer[position + 2] << 8 if csid else 0)
        kind = first >> 6
        stream = self._streams.get(csid)
        if stream is None:
            stream = self._open(csid, kind)
        self._current = stream
        if not stream.partial:
            return self._read_first(stream, kind, start, messages)
        if kind != 3:
            raise RtmpError("a message begins before the previous one of its chunk stream ended")
        return self._read_rest(stream, bytes(buffer[position:start]), messages)

    def _open(self, csid: int, kind: int) -> _ChunkStream:
        # librtmp's ping opens a chunk stream with a type 1 header. Types 2 and 3 lack a length.
        if kind > 1:
            raise RtmpError("a chunk stream begins without a message header")
        if len(self._streams) >= self._limits.chunk_streams:
            raise RtmpError(f"more than {self._limits.chunk_streams} chunk streams")
        stream = self._streams[csid] = _ChunkStream()
        return stream

    def _read_first(
        self, stream: _ChunkStream, kind: int, start: int, messages: list[Message]
    ) -> bool:
        """Read the first chunk of a message. The state changes only when all of it has arrived."""
        buffer = self._buffer
        end = start + _HEADER_BYTES[kind]
        if len(buffer) < end + 4 and (
            len(buffer) < end or (kind < 3 and buffer[start : start + 3] == b"\xff\xff\xff")
        ):
            return False
        length, type_id, stream_id = stream.length, stream.type_id, stream.stream_id
        if kind < 2:
            length = int.from_bytes(buffer[start + 3 : start + 6], "big")
            type_id = buffer[start + 6]
            if length > self._limits.message_bytes:
                raise RtmpError(f"a message of {length} bytes is larger than the limit")
        if kind == 0:
            stream_id = int.from_bytes(buffer[start + 7 : start + 11], "little")
        if kind < 3:
            number = int.from_bytes(buffer[start : start + 3], "big")
            extended = b""
            if number == _EXTENDED:
                extended = bytes(buffer[end : end + 4])
                number = _U32.unpack(extended)[0]
                end += 4
        else:
            number, extended = stream.delta, stream.extended
            if extended:
                if len(buffer) < end + 4:
                    return False
                if buffer[end : end + 4] == extended:
                    end += 4
        size = min(self.chunk_bytes, length)
        if len(buffer) < end + size:
            return False
        stream.length, stream.type_id, stream.stream_id = length, type_id, stream_id
        stream.delta, stream.extended, stream.repeated = number, extended, None
        if kind == 0:
            stream.timestamp = number
            # Clause 5.3.1.2.4: a type 3 header after a type 0 header uses its timestamp as delta.
            # An encoder whose clock has run for hours does not mean that: its next frame has an
            # equal timestamp, and doubling it would break the stream.
            stream.delta = number if number <= _PLAUSIBLE_DELTA_MS else 0
        else:
            stream.timestamp = (stream.timestamp + number) & _U32_MASK
        self._position = end + size
        self._append(stream, buffer[end : end + size], messages)
        return True

    def _read_rest(self, stream: _ChunkStream, basic: bytes, messages: list[Message]) -> bool:
        """Read a run of continuation chunks (type 3) of a message."""
        buffer = self._buffer
        position = self._position
        if stream.repeated is None:
            # Type 3 chunks repeat the extended timestamp (5.3.1.3). Some encoders leave it out.
            after = position + len(basic)
            if stream.extended and len(buffer) < after + 4:
                return False
            same = buffer[after : after + 4] == stream.extended
            stream.repeated = stream.extended if same else b""
        head = basic + stream.repeated
        if not head.startswith(buffer[position : position + len(head)]):
            raise RtmpError("the chunks of a message differ in their extended timestamp")
        chunk_bytes = self.chunk_bytes
        left = stream.length - len(stream.partial)
        stride = len(head) + chunk_bytes
        run = min(left // chunk_bytes, (len(buffer) - position) // stride, _RUN_CHUNKS)
        end = position + run * stride
        if run > 1:
            for offset, value in enumerate(head):
                column = buffer[position + offset : end : stride]
                run = min(run, len(column) - len(column.lstrip(bytes((value,)))))
            end = position + run * stride
        block = buffer[position:end]
        for removed in range(len(head)):
            del block[:: stride - removed]
        left -= run * chunk_bytes
        if 0 < left < chunk_bytes:
            # The last chunk is shorter.
            start = end + len(head)
            if len(buffer) >= start + left and buffer[end:start] == head:
                end = start + left
                block += buffer[start:end]
        if end == position:
            return False
        self._position = end
        self._append(stream, block, messages)
        return True

    def _append(self, stream: _ChunkStream, data: bytearray, messages: list[Message]) -> None:
        if len(data) == stream.length:
            payload = bytes(data)
        else:
            stream.partial += data
            self._partial_bytes += len(data)
            if self._partial_bytes > self._limits.partial_bytes:
                raise RtmpError("too many bytes in unfinished messages")
            if len(stream.partial) < stream.length:
                return
            payload = bytes(stream.partial)
            self._partial_bytes -= len(payload)
            stream.partial = bytearray()
        self._empty_in_a_row = 0 if payload else self._empty_in_a_row + 1
        if self._empty_in_a_row > self._limits.empty_messages:
            raise RtmpError("too many empty messages in a row")
        message = Message(stream.type_id, stream.timestamp, stream.stream_id, payload)
        if message.type_id <= MessageType.ABORT:
            self._control(message)
        messages.append(message)

    def _control(self, message: Message) -> None:
        if message.type_id not in (MessageType.SET_CHUNK_SIZE, MessageType.ABORT):
            return
        if len(message.payload) < 4:
            raise RtmpError("a protocol control message is cut short")
        (number,) = _U32.unpack_from(message.payload)
        if message.type_id == MessageType.SET_CHUNK_SIZE:
            if not 0 < number < 1 << 31:
                raise RtmpError(f"a chunk size of {number} is not possible")
            self.chunk_bytes = min(number, _MAX_CHUNK_BYTES)
        elif (stream := self._streams.get(number)) is not None:
            self._partial_bytes -= len(stream.partial)
            stream.partial = bytearray()


class ChunkWriter:
    """A serializer of messages into bytes."""

    def __init__(self) -> None:
        self.chunk_bytes = DEFAULT_CHUNK_BYTES
        self._last: dict[int, tuple[int, int]] = {}

    def set_chunk_size(self, chunk_bytes: int) -> bytes:
        """Return a Set Chunk Size message. From now on messages are cut at this size."""
        if not 0 < chunk_bytes <= _MAX_CHUNK_BYTES:
            raise RtmpError(f"a chunk size of {chunk_bytes} is not possible")
        data = self.encode(2, MessageType.SET_CHUNK_SIZE, 0, 0, _U32.pack(chunk_bytes))
        self.chunk_bytes = chunk_bytes
        return data

    def encode(
        self, csid: int, type_id: int, stream_id: int, timestamp: int, payload: bytes
    ) -> bytes:
        """Return one message as bytes; see :meth:`buffers`."""
        return b"".join(self.buffers(csid, type_id, stream_id, timestamp, payload))

    def buffers(
        self, csid: int, type_id: int, stream_id: int, timestamp: int, payload: bytes
    ) -> list[bytes | memoryview]:
        """Return one message as buffers to write in order. The payload is not copied.

        ``csid`` is 2 to 63, ``timestamp`` in milliseconds (taken modulo 2^32). The message header
        has type 1 when time goes forward on the chunk stream, otherwise type 0.
        """
        timestamp &= _U32_MASK
        before, before_stream = self._last.get(csid, (timestamp + 1, -1))
        self._last[csid] = (timestamp, stream_id)
        full = before_stream != stream_id or timestamp < before
        number = timestamp if full else timestamp - before
        extended = _U32.pack(number) if number >= _EXTENDED else b""
        # Basic header, timestamp (3 bytes), length (3 bytes) and type, as one number.
        first = csid if full else 0x40 | csid
        head = _U64.pack(first << 56 | min(number, _EXTENDED) << 32 | len(payload) << 8 | type_id)
        if full:
            head += stream_id.to_bytes(4, "little")
        if len(payload) <= self.chunk_bytes:
            return [head + extended, payload]
        view = memoryview(payload)
        again = bytes((0xC0 | csid,)) + extended
        parts: list[bytes | memoryview] = [head + extended, view[: self.chunk_bytes]]
        for start in range(self.chunk_bytes, len(payload), self.chunk_bytes):
            parts += (again, view[start : start + self.chunk_bytes])
        return parts
