"""Targets of pushers, and relays in front of them: TLS, a slow line, SRT listeners."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.ports import free_port, wait_listening

__all__ = [
    "Authority",
    "Line",
    "Nginx",
    "SrtTarget",
    "line_to",
    "nginx_rtmp",
    "slow_datagrams_to",
    "srt_target",
    "tls_in_front",
]

HOST = "127.0.0.1"
_BEFORE_MEDIA_BYTES = 6_144
"""Bytes before the media. RTMP's handshake is 3073 bytes; commands, metadata and headers are a few
hundred more."""
_NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_NGINX = """
load_module {module};
daemon off;
master_process off;
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
rtmp {{ server {{
  listen {host}:{port};
  application live {{ live on; }}
  application kept {{ live on; record all; record_path {folder}; record_unique on; }}
}} }}
"""


@dataclass(slots=True, frozen=True)
class Nginx:
    """An nginx-rtmp server. It refuses a second publisher with the same key."""

    host: str
    port: int
    folder: Path

    def uri(self, application: str = "live") -> str:
        """Return the URI of an application: ``live``, or ``kept``, which writes files."""
        return f"rtmp://{self.host}:{self.port}/{application}"

    def kept(self, key: str) -> list[Path]:
        """Return the files of the publications with that key to ``kept``, oldest first."""
        return sorted(self.folder.glob(f"{key}-*.flv"), key=lambda file: file.stat().st_mtime)


@contextmanager
def nginx_rtmp(folder: Path, host: str = HOST) -> Iterator[Nginx]:
    """Yield Debian's nginx-rtmp; skip the test if it is not installed."""
    if not _NGINX_MODULE.exists():
        pytest.skip("libnginx-mod-rtmp is not installed")
    folder.mkdir(exist_ok=True)
    port = free_port(host)
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(module=_NGINX_MODULE, folder=folder, host=host, port=port))
    command = ["nginx", "-p", str(folder), "-e", str(folder / "early.log"), "-c", str(config)]
    process = subprocess.Popen(command)
    try:
        wait_listening(host, port)
        yield Nginx(host, port, folder)
    finally:
        process.terminate()
        process.wait(10)


class Authority:
    """A certificate authority of a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificates = 0
        self.pem = self._sign(self._name, self._key, None, days=1).decode()

    def server(self, *, address: str = HOST, days: int = 1) -> ssl.SSLContext:
        """Return a server's side for that address; ``days`` below 0: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        self._certificates += 1
        file = self._folder / f"server{self._certificates}.pem"
        file.write_bytes(
            self._sign(name, key, address, days=days)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, address: str | None, *, days: int
    ) -> bytes:
        end = datetime.now(UTC) + timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - timedelta(days=2))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), True)
        )
        if address is not None:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            builder = builder.add_extension(names, False)
        made = builder.sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)


@dataclass
class Line:
    """A connection to a target that a test can slow down or cut."""

    host: str = HOST
    port: int = 0
    bytes_per_second: float = 1e9
    connections: int = 0
    media_at: float | None = None
    """Time of the first media, in seconds since the epoch."""

    def __post_init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []
        self._callers: list[asyncio.StreamWriter] = []
        self._kept: list[asyncio.StreamWriter] = []

    def forget(self) -> None:
        """Disconnect the callers. The target gets no close until a reset."""
        self._kept += self._writers
        for writer in self._callers:
            writer.transport.abort()

    def reset(self) -> None:
        """Reset the connections, like a router that lost its state."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, slow: bool
    ) -> None:
        count = 0
        free_at = 0.0
        with contextlib.suppress(ConnectionError):
            # A slow line reads little at a time, so that the rest waits at the sender.
            while data := await reader.read(
                max(1, min(16_384, int(self.bytes_per_second / 2))) if slow else 16_384
            ):
                count += len(data)
                if slow and count > _BEFORE_MEDIA_BYTES and self.media_at is None:
                    self.media_at = time.time()
                writer.write(data)
                await writer.drain()
                if slow and self.bytes_per_second < 1e8:
                    # Use the clock, so that a sleep that is too long does not slow the line down.
                    free_at = max(free_at, time.monotonic() - 1) + len(data) / self.bytes_per_second
                    await asyncio.sleep(free_at - time.monotonic())
        if writer not in self._kept:
            writer.close()


@asynccontextmanager
async def line_to(
    port: int,
    tls: ssl.SSLContext | None = None,
    host: str = HOST,
    *,
    receive_bytes: int | None = None,
) -> AsyncIterator[Line]:
    """Yield a relay in front of a port of the same host. With ``tls`` the relay terminates TLS.
    ``receive_bytes`` is the size of the kernel's receive buffer, which should hold little."""
    line = Line(host)
    listener = socket.socket()
    if receive_bytes is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    listener.bind((host, 0))

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.connections += 1
        try:
            target_reader, target_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.transport.abort()
            return
        line._writers += [writer, target_writer]
        line._callers.append(writer)
        with contextlib.suppress(ConnectionError):
            async with asyncio.TaskGroup() as group:
                group.create_task(line.carry(reader, target_writer, slow=True))
                group.create_task(line.carry(target_reader, writer, slow=False))

    server = await asyncio.start_server(relay, sock=listener, ssl=tls, limit=4_096)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        line.reset()
        server.close()


class SlowDatagrams(asyncio.DatagramProtocol):
    """A relay of one caller's datagrams with a queue, like an uplink. The reverse direction is
    fast."""

    def __init__(self, port: int, bytes_per_second: float, queue_seconds: float = 0.2) -> None:
        self._target = (HOST, port)
        self.bytes_per_second = bytes_per_second
        self.is_broken = False
        """True: every datagram to the target is lost."""
        self._queue_seconds = queue_seconds
        self._caller: tuple[str, int] | None = None
        self._free_at = 0.0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self._transport is not None
        if addr == self._target:
            if self._caller is not None:
                self._transport.sendto(data, self._caller)
            return
        self._caller = addr
        now = time.monotonic()
        self._free_at = max(self._free_at, now)
        if self.is_broken or self._free_at - now > self._queue_seconds:
            return  # the line is dead, or its queue is full
        self._free_at += len(data) / self.bytes_per_second
        loop = asyncio.get_running_loop()
        loop.call_later(self._free_at - now, self._transport.sendto, data, self._target)


@asynccontextmanager
async def slow_datagrams_to(
    port: int, bytes_per_second: float
) -> AsyncIterator[tuple[SlowDatagrams, int]]:
    """Yield a slow relay of datagrams, and its port."""
    loop = asyncio.get_running_loop()
    transport, relay = await loop.create_datagram_endpoint(
        lambda: SlowDatagrams(port, bytes_per_second), local_addr=(HOST, 0)
    )
    try:
        yield relay, int(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()


@asynccontextmanager
async def tls_in_front(port: int, tls: ssl.SSLContext) -> AsyncIterator[str]:
    """Yield the authority (``host:port``) of a TLS terminator before a plain server."""
    async with line_to(port, tls) as line:
        yield f"{HOST}:{line.port}"


class SrtTarget:
    """An SRT listener that stores the media of one caller. It can be started again after a kill."""

    def __init__(self, command: list[str], port: int, file: Path, *, to_stdout: bool) -> None:
        self._command = command
        self._to_stdout = to_stdout
        self.url = f"srt://{HOST}:{port}"
        self.file = file
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.file.open("wb") as out:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=out if self._to_stdout else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def end(self) -> None:
        """End the listener after it has written its data."""
        self.signal(signal.SIGINT)
        assert self._process is not None
        self._process.wait(10)


@contextmanager
def srt_target(
    kind: str, port: int, file: Path, options: str = "", *, start: bool = True
) -> Iterator[SrtTarget]:
    """Return an SRT target. ``kind``: ``srt-live-transmit`` or ``ffmpeg``."""
    url = f"srt://{HOST}:{port}?mode=listener{options}"
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "mpegts", "-i", url]
    command += ["-c", "copy", "-f", "mpegts", str(file)]
    if kind == "srt-live-transmit":
        command = ["srt-live-transmit", "-a", "no", "-q", "-chunk", "1316", url, "file://con"]
    made = SrtTarget(command, port, file, to_stdout=kind != "ffmpeg")
    if start:
        made.start()
    try:
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError, AssertionError):
            made.signal(signal.SIGCONT)
        made.kill()
