"""RTMP bytes as encoders send them, made without our own writer."""

from __future__ import annotations

from collections.abc import Iterator

from sluice_media.formats import amf0
from sluice_media.protocols.rtmp.messages import Message


def basic(kind: int, csid: int) -> bytes:
    if csid < 64:
        return bytes((kind << 6 | csid,))
    if csid < 320:
        return bytes((kind << 6, csid - 64))
    return bytes((kind << 6 | 1, (csid - 64) & 0xFF, (csid - 64) >> 8))


def chunks(
    message: Message,
    *,
    csid: int = 4,
    kind: int = 0,
    number: int | None = None,
    chunk_bytes: int = 128,
    repeat_extended: bool = True,
) -> bytes:
    """Return the chunks of one message; ``number`` is the timestamp or delta as written."""
    return b"".join(
        pieces(
            message,
            csid=csid,
            kind=kind,
            number=number,
            chunk_bytes=chunk_bytes,
            repeat_extended=repeat_extended,
        )
    )


def pieces(
    message: Message,
    *,
    csid: int = 4,
    kind: int = 0,
    number: int | None = None,
    chunk_bytes: int = 128,
    repeat_extended: bool = True,
) -> Iterator[bytes]:
    number = message.timestamp if number is None else number
    extended = number.to_bytes(4, "big") if number >= 0xFFFFFF else b""
    head = basic(kind, csid)
    if kind < 3:
        head += min(number, 0xFFFFFF).to_bytes(3, "big")
    if kind < 2:
        head += len(message.payload).to_bytes(3, "big") + bytes((message.type_id,))
    if kind == 0:
        head += message.stream_id.to_bytes(4, "little")
    yield head + extended + message.payload[:chunk_bytes]
    for start in range(chunk_bytes, len(message.payload), chunk_bytes):
        again = extended if repeat_extended else b""
        yield basic(3, csid) + again + message.payload[start : start + chunk_bytes]


def command(name: str, transaction: float, *values: amf0.Value, stream_id: int = 0) -> bytes:
    return chunks(Message(20, 0, stream_id, amf0.encode(name, transaction, *values)), csid=3)


def obs_commands(app: str = "ns", key: str = "stream?token") -> bytes:
    """Return the commands of OBS (librtmp) after the handshake, up to publish."""
    connect = {
        "app": app,
        "type": "nonprivate",
        "flashVer": "FMLE/3.0 (compatible; FMSc/1.0)",
        "swfUrl": f"rtmp://127.0.0.1/{app}",
        "tcUrl": f"rtmp://127.0.0.1/{app}",
        "fourCcList": ["av01", "hvc1"],
    }
    return b"".join(
        (
            command("connect", 1.0, connect),
            command("releaseStream", 2.0, None, key),
            command("FCPublish", 3.0, None, key),
            command("createStream", 4.0, None),
            command("publish", 5.0, None, key, "live", stream_id=1),
        )
    )


def hello() -> bytes:
    """Return C0, C1 and C2 of a client that ignores the server's answer."""
    return b"\x03" + bytes(8) + bytes(1528) + bytes(1536)
