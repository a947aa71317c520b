"""The link layer that both sides of an RTMP connection share: acknowledgements and pings.

It lies above the chunk stream and below the sessions. Source: Adobe RTMP 1.0 (2012), clauses 5.4.3
to 5.4.5 (acknowledgement, window, bandwidth) and 6.2 (user control).
"""

from __future__ import annotations

import struct

from sluice_media.formats import amf0
from sluice_media.protocols.rtmp.chunk import ChunkLimits, ChunkReader, ChunkWriter
from sluice_media.protocols.rtmp.messages import Message, MessageType, UserControl

_U32 = struct.Struct("!I")
_EVENT = struct.Struct("!HI")
_U32_MASK = 0xFFFFFFFF
_CONTROL_CSID = 2
_COMMAND_CSID = 3
WINDOW_BYTES = 2_500_000
"""Acknowledgement window that we announce. It also applies to us until the peer announces one."""
_DYNAMIC_LIMIT = 2


class Link:
    """Chunk reader and writer of one connection, and the bytes that wait to be sent."""

    def __init__(self, limits: ChunkLimits | None = None) -> None:
        self.reader = ChunkReader(limits)
        self.writer = ChunkWriter()
        self.received_bytes = 0
        self.acknowledged_bytes = 0
        """Bytes that the peer acknowledged, modulo 2^32."""
        self._window = WINDOW_BYTES
        self._last_ack = 0
        self._out: list[bytes] = []

    def take_output(self) -> bytes:
        """Return the bytes to send and forget them."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def queue(self, data: bytes) -> None:
        """Append bytes to send."""
        self._out.append(data)

    def feed(self, data: bytes) -> list[Message]:
        """Take received bytes and return the messages for the session.

        Protocol control and user control are handled here. Raise RtmpError.
        """
        self.received_bytes += len(data)
        messages = self.reader.feed(data)
        for message in messages:
            if message.type_id <= MessageType.SET_PEER_BANDWIDTH:
                messages = [m for m in messages if not self._is_control(m)]
                break
        if self.received_bytes - self._last_ack >= self._window:
            self.queue(self.acknowledgement())
        return messages

    def acknowledgement(self) -> bytes:
        """Return a message with the number of bytes received."""
        self._last_ack = self.received_bytes
        payload = _U32.pack(self.received_bytes & _U32_MASK)
        return self.writer.encode(_CONTROL_CSID, MessageType.ACKNOWLEDGEMENT, 0, 0, payload)

    def announce_window(self) -> None:
        """Queue our acknowledgement window."""
        self._control(MessageType.WINDOW_ACK_SIZE, _U32.pack(WINDOW_BYTES))

    def announce_bandwidth(self) -> None:
        """Queue the bandwidth that the peer may use."""
        body = _U32.pack(WINDOW_BYTES) + bytes((_DYNAMIC_LIMIT,))
        self._control(MessageType.SET_PEER_BANDWIDTH, body)

    def announce_chunk_size(self, chunk_bytes: int) -> None:
        """Queue our chunk size, which applies from the next message on."""
        self.queue(self.writer.set_chunk_size(chunk_bytes))

    def stream_begin(self, stream_id: int) -> None:
        """Queue a Stream Begin event."""
        self._control(MessageType.USER_CONTROL, _EVENT.pack(UserControl.STREAM_BEGIN, stream_id))

    def command(self, stream_id: int, name: str, transaction: float, *values: amf0.Value) -> None:
        """Queue a command message, AMF0."""
        payload = amf0.encode(name, transaction, *values)
        self.queue(self.writer.encode(_COMMAND_CSID, MessageType.COMMAND, stream_id, 0, payload))

    def _control(self, type_id: int, payload: bytes) -> None:
        self.queue(self.writer.encode(_CONTROL_CSID, type_id, 0, 0, payload))

    def _is_control(self, message: Message) -> bool:
        type_id = message.type_id
        payload = message.payload
        if type_id > MessageType.SET_PEER_BANDWIDTH:
            return False
        if type_id == MessageType.USER_CONTROL:
            if len(payload) >= _EVENT.size:
                event, value = _EVENT.unpack_from(payload)
                if event == UserControl.PING_REQUEST:
                    self._control(type_id, _EVENT.pack(UserControl.PING_RESPONSE, value))
        elif len(payload) >= _U32.size:
            (number,) = _U32.unpack_from(payload)
            if type_id == MessageType.WINDOW_ACK_SIZE:
                # The peer expects an acknowledgement after this number of bytes. With 0, every
                # byte would be acknowledged.
                self._window = max(number, 1)
            elif type_id == MessageType.ACKNOWLEDGEMENT:
                self.acknowledged_bytes = number
        return True
