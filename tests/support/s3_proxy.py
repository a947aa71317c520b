"""Proxy between an S3 client and its server, which injects faults on request.

In a test: ``async with s3_proxy(upstream) as proxy: proxy.fault = Fault("SlowDown")``. As a
process, e.g. in a pod: ``python -m tests.support.s3_proxy LISTEN UPSTREAM CONTROL`` (each
``HOST:PORT``); then ``PUT /fault`` with a fault as JSON at the control port sets it, ``DELETE
/fault`` ends it and ``GET /requests`` says how often it struck. It needs nothing but the standard
library.

One request per connection. The signed parts (method, path, host, x-amz headers, body) are forwarded
unchanged, so signatures stay valid.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Fault", "Kind", "S3Proxy", "s3_proxy"]

Kind = Literal[
    "InternalError",
    "SlowDown",
    "AccessDenied",
    "NoSuchBucket",
    "Reset",
    "CorruptPut",
    "CorruptGet",
    "WrongETag",
    "SwallowPut",
    "Throttle",
    "Stall",
    "Down",
]
_ANSWERS = {
    "InternalError": (500, "Internal Server Error"),
    "SlowDown": (503, "Slow Down"),
    "AccessDenied": (403, "Forbidden"),
    "NoSuchBucket": (404, "Not Found"),
}
_MAX_HEAD_BYTES = 64 << 10
_BLOCK_BYTES = 64 << 10


@dataclass(slots=True)
class Fault:
    """A fault, and the requests that it applies to."""

    kind: Kind
    methods: tuple[str, ...] = ()
    """HTTP methods; empty: all methods."""
    key: str = ""
    """Part of the request's path or query."""
    times: int | None = None
    """Number of requests that fail; None: until the fault is removed."""
    bytes_per_second: int = 8_000
    """Speed for Throttle; 8000 are 64 kbit/s."""
    struck: int = 0

    def hits(self, method: str, path: str) -> bool:
        if self.times is not None and self.struck >= self.times:
            return False
        return (not self.methods or method in self.methods) and self.key in path


@dataclass(slots=True)
class _Head:
    first: str
    lines: list[str]

    @property
    def method(self) -> str:
        return self.first.split(" ")[0]

    @property
    def path(self) -> str:
        return self.first.split(" ")[1]

    def get(self, name: str) -> str | None:
        for line in self.lines:
            key, _, value = line.partition(":")
            if key.strip().lower() == name:
                return value.strip()
        return None

    def set(self, name: str, value: str) -> None:
        self.lines = [x for x in self.lines if x.partition(":")[0].strip().lower() != name.lower()]
        self.lines.append(f"{name}: {value}")

    def encode(self) -> bytes:
        return "\r\n".join([self.first, *self.lines, "", ""]).encode("latin-1")


@dataclass(slots=True)
class S3Proxy:
    host: str
    port: int
    """Port of the server."""
    fault: Fault | None = None
    listens_at: int = 0
    latency_seconds: float = 0.0
    """Seconds that each request waits before it is forwarded."""
    requests: dict[str, int] = field(default_factory=dict)
    """Method -> number of received requests."""

    async def serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """Serve one connection, which ends after its request."""
        try:
            await self._serve(client, answer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            answer.transport.abort()
        finally:
            answer.close()

    async def _serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        if self.fault is not None and self.fault.kind == "Down":
            self.fault.struck += 1
            answer.transport.abort()
            return
        head = await _read_head(client)
        self.requests[head.method] = self.requests.get(head.method, 0) + 1
        length = int(head.get("content-length") or 0)
        fault = self.fault if self.fault and self.fault.hits(head.method, head.path) else None
        if fault is not None:
            fault.struck += 1
            if await self._refused(fault, head, length, client, answer):
                return
        await asyncio.sleep(self.latency_seconds)
        head.set("Connection", "close")
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(head.encode())
            await _relay(client, writer, length, fault, "CorruptPut")
            reply = await _read_head(reader)
            if fault is not None and fault.kind == "WrongETag" and reply.get("etag"):
                reply.set("ETag", '"00000000000000000000000000000000"')
            reply.set("Connection", "close")
            answer.write(reply.encode())
            await _relay(reader, answer, None, fault, "CorruptGet")
        finally:
            writer.close()

    async def _refused(
        self,
        fault: Fault,
        head: _Head,
        length: int,
        client: asyncio.StreamReader,
        answer: asyncio.StreamWriter,
    ) -> bool:
        """Answer a request whose fault keeps it from the server."""
        if fault.kind == "Stall":
            await client.read()
            return True
        if fault.kind == "Reset":
            await client.readexactly(length // 2)
            answer.transport.abort()
            return True
        if fault.kind == "SwallowPut" and head.method == "PUT":
            await client.readexactly(length)
            answer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n")
            answer.write(b'ETag: "00000000000000000000000000000000"\r\n\r\n')
            await answer.drain()
            return True
        if fault.kind not in _ANSWERS:
            return False
        await client.readexactly(length)
        status, phrase = _ANSWERS[fault.kind]
        body = f"<Error><Code>{fault.kind}</Code><Message>on request</Message></Error>".encode()
        if head.method == "HEAD":
            body = b""
        answer.write(
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await answer.drain()
        return True


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    raw = await reader.readuntil(b"\r\n\r\n")
    if len(raw) > _MAX_HEAD_BYTES:
        raise OSError("head too long")
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    return _Head(first, lines)


async def _relay(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    length: int | None,
    fault: Fault | None,
    corruption: str,
) -> None:
    """Forward ``length`` bytes, or everything; slowly or damaged if that is the fault."""
    left = length
    first = True
    while left is None or left > 0:
        slow = fault is not None and fault.kind == "Throttle"
        limit = fault.bytes_per_second // 10 if slow and fault else _BLOCK_BYTES
        data = await source.read(limit if left is None else min(limit, left))
        if not data:
            if left is None:
                break
            raise asyncio.IncompleteReadError(b"", left)
        if left is not None:
            left -= len(data)
        if first and fault is not None and fault.kind == corruption:
            data = bytes([data[0] ^ 0xFF]) + data[1:]
        first = False
        sink.write(data)
        await sink.drain()
        if slow and fault:
            await asyncio.sleep(len(data) / fault.bytes_per_second)
    await sink.drain()


@contextlib.asynccontextmanager
async def s3_proxy(
    upstream: int, *, host: str = "127.0.0.1", bind: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[S3Proxy]:
    """Yield a proxy in front of the server at ``host:upstream``, while the context lasts."""
    proxy = S3Proxy(host, upstream)
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, bind, port, limit=_MAX_HEAD_BYTES)
    proxy.listens_at = int(server.sockets[0].getsockname()[1])
    try:
        yield proxy
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _control(
    proxy: S3Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    head = await _read_head(reader)
    body = await reader.readexactly(int(head.get("content-length") or 0))
    status, answer = 200, "{}"
    match head.method, head.path:
        case "PUT", "/fault":
            try:
                proxy.fault = Fault(**json.loads(body))
            except (TypeError, ValueError) as error:
                status, answer = 422, json.dumps({"error": str(error)})
        case "DELETE", "/fault":
            proxy.fault = None
        case "GET", "/requests":
            struck = proxy.fault.struck if proxy.fault else 0
            answer = json.dumps({"requests": proxy.requests, "struck": struck})
        case _:
            status = 404
    writer.write(f"HTTP/1.1 {status} .\r\nContent-Length: {len(answer)}\r\n".encode())
    writer.write(f"Connection: close\r\n\r\n{answer}".encode())
    await writer.drain()
    writer.close()


async def _main(listen: str, upstream: str, control: str) -> None:
    bind, _, port = listen.rpartition(":")
    host, _, upstream_port = upstream.rpartition(":")
    control_bind, _, control_port = control.rpartition(":")
    async with s3_proxy(int(upstream_port), host=host, bind=bind, port=int(port)) as proxy:
        server = await asyncio.start_server(
            lambda r, w: _control(proxy, r, w), control_bind, int(control_port)
        )
        async with server:
            await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:4]))
