"""The ports of the gateway: connections, their limits, and the end of the process."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from sluice_media.gateway.rtmp import RtmpPublisher
from sluice_media.gateway.settings import GatewaySettings
from sluice_media.gateway.srt import SrtIngest, running_srt
from sluice_media.gateway.tls import Certificate, TlsPort
from sluice_media.gateway.wire import Wire
from sluice_media.net.listening import listen_on
from sluice_media.publishing.keeper import Hubs, reaching_hubs
from sluice_media.publishing.limits import AddressLimits, TooManyConnections
from sluice_media.publishing.locate import Locate
from sluice_media.publishing.metrics import GatewayMetrics
from sluice_media.publishing.publication import publisher_for

_TLS_SHUTDOWN_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Gateway:
    """The listening gateway. :func:`running_gateway` makes it."""

    def __init__(self, settings: GatewaySettings, hubs: Hubs, tasks: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._hubs = hubs
        self._tasks = tasks
        self.limits = AddressLimits(hubs.settings, time.monotonic)
        self._publish = {
            protocol: publisher_for(protocol, hubs, self.limits) for protocol in ("RTMP", "RTMPS")
        }
        self.srt: SrtIngest | None = None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._tls: TlsPort | None = None
        self._certificate: Certificate | None = None
        self._accepting: list[asyncio.Task[None]] = []
        self.draining = False
        """True once the gateway accepts no new publishers. Connected publishers stay."""

    @property
    def ready(self) -> bool:
        """True once the ports are open, also while the gateway drains.

        The pod of a draining gateway is terminating and gets no new flows anyway. If it were not
        ready, kube-proxy would delete the conntrack entries of its UDP endpoint, and with them the
        connections of SRT publishers.
        """
        return self._server is not None

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the gateway does not listen yet")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def rtmps_port(self) -> int:
        if self._tls is None:
            raise RuntimeError("RTMPS is not configured")
        return self._tls.port

    @property
    def connections(self) -> int:
        return len(self._publishers)

    @property
    def _publishers(self) -> set[asyncio.Task[None]]:
        return self._open | (self.srt.connections if self.srt else set())

    async def listen(self) -> None:
        settings = self._settings
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Wire(self._on_connected), sock=listen_on(settings.bind, settings.rtmp_port)
        )
        if settings.tls_dir is not None:
            self._certificate = Certificate(settings.tls_dir, self._hubs.metrics)
            self._tls = TlsPort(settings.bind, settings.rtmps_port, self._on_tls_connection)
            self._accepting = [
                self._tasks.create_task(self._tls.run(), name="rtmps-accept"),
                self._tasks.create_task(self._certificate.follow(), name="rtmps-certificate"),
            ]

    async def drain(self, grace_seconds: float) -> None:
        """Accept no new publisher; return when the last one has left or the grace is over."""
        self.draining = True
        self._close_ports()
        if self.srt is not None:
            self.srt.refuse_new()
        _log.info("draining", connections=self.connections)
        if self._publishers:
            await asyncio.wait(self._publishers, timeout=grace_seconds)

    def close(self) -> None:
        """Close the ports and all connections at once."""
        self._close_ports()
        for task in self._open:
            task.cancel()

    def _close_ports(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._accepting:
            task.cancel()

    def _on_connected(self, wire: Wire) -> None:
        # The publisher is made before the task runs, because it must receive the first event.
        publisher = self._publisher(wire)
        self._start(self._serve(wire.address, lambda: self._run(publisher, wire), wire.abort))

    def _publisher(self, wire: Wire) -> RtmpPublisher:
        return RtmpPublisher(self._settings, self._hubs, self._publish[wire.protocol], wire)

    def _on_tls_connection(self, sock: socket.socket, address: str) -> None:
        self._start(self._serve(address, lambda: self._run_tls(sock, address), sock.close))

    def _start(self, serving: Coroutine[None, None, None]) -> None:
        task = self._tasks.create_task(serving)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _run(self, publisher: RtmpPublisher, wire: Wire) -> None:
        try:
            await publisher.run()
        finally:
            wire.abort()

    async def _run_tls(self, sock: socket.socket, address: str) -> None:
        assert self._certificate is not None
        # The loop does not return our protocol: uvloop returns its own one for TLS.
        connections: list[tuple[RtmpPublisher, Wire]] = []

        def connected(wire: Wire) -> None:
            connections.append((self._publisher(wire), wire))

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Wire(connected, "RTMPS"),
                sock,
                ssl=self._certificate.context,
                ssl_handshake_timeout=self._settings.handshake_seconds,
                ssl_shutdown_timeout=_TLS_SHUTDOWN_SECONDS,
            )
        except OSError:  # SSLError is an OSError: scanners and old clients cause it
            self._hubs.metrics.tls_handshake_failures.inc()
            return
        await self._run(*connections[0])

    async def _serve(
        self,
        address: str,
        run: Callable[[], Awaitable[None]],
        turn_away: Callable[[], None],
    ) -> None:
        """Count a connection, and keep its errors from the other connections."""
        metrics = self._hubs.metrics
        try:
            with self.limits.connection(address), metrics.connections.track_inprogress():
                await run()
        except TooManyConnections as refused:
            metrics.connections_refused.inc()
            suppressed = self._hubs.log_limiter.admit(address)
            if suppressed is not None:
                _log.warning(
                    "connection_refused", address=address, why=str(refused), suppressed=suppressed
                )
            turn_away()
        except Exception as bug:
            # An error of one connection must not end the others. Its text may hold a key, so it is
            # not logged.
            _log.error("publisher_failed", address=address, error=type(bug).__name__)


@asynccontextmanager
async def running_gateway(
    settings: GatewaySettings, locate: Locate, registry: CollectorRegistry
) -> AsyncIterator[Gateway]:
    """Run a gateway while the context lasts; then cut every connection."""
    async with (
        reaching_hubs(locate, settings, GatewayMetrics(registry)) as hubs,
        asyncio.TaskGroup() as tasks,
    ):
        gateway = Gateway(settings, hubs, tasks)
        async with AsyncExitStack() as others:
            if settings.srt_port:
                srt = running_srt(settings, hubs, gateway.limits, registry)
                gateway.srt = await others.enter_async_context(srt)
            await gateway.listen()
            try:
                yield gateway
            finally:
                gateway.close()
