"""RTMPS: the certificate, renewed while publishers are connected, and the accepting socket.

Certificate and key are ``tls.crt`` and ``tls.key`` of a mounted Secret. The kubelet replaces both
at once by renaming a symbolic link. New connections get the newest pair that could be loaded. A
broken pair is logged and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import structlog

from sluice_media.net.listening import listen_on, plain_address
from sluice_media.publishing.metrics import GatewayMetrics

_POLL_SECONDS = 2.0
_BACKLOG = 128
_NO_DESCRIPTOR_SECONDS = 0.2
_log = structlog.get_logger(__name__)

_Signature = tuple[tuple[int, int, int], ...]


class Certificate:
    """The certificate and key in ``folder``. :attr:`context` stays valid when they are renewed."""

    def __init__(self, folder: Path, metrics: GatewayMetrics) -> None:
        self._files = (folder / "tls.crt", folder / "tls.key")
        self._metrics = metrics
        self._current: ssl.SSLContext | None = None
        self.context = _server_context()
        self.context.sni_callback = self._choose
        self._seen: _Signature | None = None
        self.refresh()

    def refresh(self) -> None:
        """Load the files if they have changed."""
        signature = self._signature()
        if signature == self._seen:
            return
        self._seen = signature
        context = _server_context()
        try:
            context.load_cert_chain(*self._files)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            self._metrics.tls_certificate_broken.set(1)
            kept = (
                "the former certificate stays in use"
                if self._current
                else "RTMPS refuses all connections"
            )
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
            _log.error("tls_certificate_broken", why=reason or type(error).__name__, then=kept)
            return
        self._current = context
        self._metrics.tls_certificate_broken.set(0)
        self._metrics.tls_reloads.inc()
        _log.info("tls_certificate_loaded")

    async def follow(self) -> None:
        """Check the files every 2 s until cancelled. This costs less than an inotify binding."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            self.refresh()

    def _choose(
        self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext
    ) -> int | None:
        """Select the newest certificate. OpenSSL calls this in each handshake, also without SNI."""
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None

    def _signature(self) -> _Signature:
        found = []
        for file in self._files:
            with contextlib.suppress(OSError):
                stat = file.stat()
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(found)


class TlsPort:
    """The accepting socket. It counts a connection before the TLS handshake, which costs CPU."""

    def __init__(
        self, host: str, port: int, accepted: Callable[[socket.socket, str], None]
    ) -> None:
        """``accepted`` is called with each socket (non-blocking) and the peer's address."""
        self._accepted = accepted
        self._socket = listen_on(host, port, _BACKLOG)

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    async def run(self) -> None:
        """Accept connections until cancelled; then close the port."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    sock, address = await loop.sock_accept(self._socket)
                except OSError as error:  # no file descriptor left, mostly
                    _log.warning("accept_failed", why=error.strerror)
                    await asyncio.sleep(_NO_DESCRIPTOR_SECONDS)
                    continue
                self._accepted(sock, plain_address(address[0]))
        finally:
            self._socket.close()


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
