"""Many viewers at once, for tests of the edge, over plain connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tests.support.edge_rig import Answer

__all__ = ["ask_at_once", "idle_connections"]


async def _ask(port: int, path: str, agent: str) -> Answer:
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        data = await reader.read(-1)
    finally:
        writer.close()
    lines, _, body = data.partition(b"\r\n\r\n")
    first, *rest = lines.decode().split("\r\n")
    headers = {line.split(": ")[0].lower(): line.partition(": ")[2] for line in rest}
    return Answer(int(first.split()[1]), headers, body, time.monotonic() - started)


async def ask_at_once(port: int, paths: Sequence[str]) -> list[Answer]:
    """Return the answers to these paths, each asked over its own connection at the same time."""
    tasks = [_ask(port, path, f"viewer/{number}") for number, path in enumerate(paths)]
    return list(await asyncio.gather(*tasks))


async def idle_connections(port: int, count: int) -> list[asyncio.StreamWriter]:
    """Open connections that send nothing."""
    found: list[asyncio.StreamWriter] = []
    for first in range(0, count, 200):
        opened = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port) for _ in range(min(200, count - first)))
        )
        found += [writer for _, writer in opened]
    return found
