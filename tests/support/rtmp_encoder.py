"""An RTMP encoder with the quirks that a test chooses. Its media is read from FLV files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sluice_media.formats.flv import FlvTag, TagReader, TagType
from sluice_media.protocols.rtmp import ClientSession
from tests.support.rtmp import media_message

__all__ = ["flv_tags", "later", "send_tags"]

_AHEAD_MS = 200


def flv_tags(path: Path) -> list[FlvTag]:
    return TagReader().feed(path.read_bytes())


def later(tags: Iterable[FlvTag], milliseconds: int) -> list[FlvTag]:
    """Return the tags with later timestamps, modulo 2^32."""
    return [
        replace(tag, timestamp_ms=(tag.timestamp_ms + milliseconds) & 0xFFFFFFFF) for tag in tags
    ]


async def send_tags(
    port: int,
    key: str,
    tags: Sequence[FlvTag],
    *,
    host: str = "127.0.0.1",
    app: str = "ns",
    chunk_bytes: int = 4_096,
    speed: float = 4,
) -> None:
    """Publish in the order of OBS's commands, ``speed`` times as fast as it plays."""
    session = ClientSession(
        app=app, tc_url=f"rtmp://{host}:{port}/{app}", stream_key=key, chunk_bytes=chunk_bytes
    )
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.timeout(30):
            while not session.accepted:
                writer.write(session.take_output())
                data = await reader.read(65_536)
                assert data, "the gateway has hung up"
                session.feed(data)
        loop = asyncio.get_running_loop()
        begun, first = loop.time(), tags[0].timestamp_ms
        for tag in tags:
            if tag.type_id not in (TagType.AUDIO, TagType.VIDEO, TagType.SCRIPT):
                continue
            played = ((tag.timestamp_ms - first) & 0xFFFFFFFF) / 1_000
            ahead = played / speed - (loop.time() - begun)
            if _AHEAD_MS / 1_000 < ahead < 3_600:
                await writer.drain()
                await asyncio.sleep(ahead)
            writer.write(media_message(session, tag.type_id, tag.timestamp_ms, tag.payload))
        writer.write(session.close())
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(30):
            while await reader.read(65_536):
                pass
    finally:
        writer.close()
