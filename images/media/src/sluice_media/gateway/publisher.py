"""One publisher's connection, from its first byte to its last.

The RTMP session says what the encoder wants, the keeper what the hub says; this joins the two.
Neither the key nor the publish path as given is ever logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from sluice_media.gateway.keeper import Ending, GaveUp, Hubs, LegKeeper, Over, Refused
from sluice_media.gateway.limits import AddressLimits
from sluice_media.gateway.path import BadPath, PublishPath, parse_publish_path
from sluice_media.gateway.retention import Retention
from sluice_media.rtmp import (
    BAD_NAME,
    Media,
    PlayRefused,
    PublishRequested,
    PublishStopped,
    RtmpError,
    ServerEvent,
    ServerSession,
)

__all__ = ["Publisher"]

_READ_BYTES = 256 << 10
_MAX_BYTES_BEFORE_PUBLISH = 128 << 10
"""Handshake and commands have about 5 kB."""
_MAX_BYTES_BEFORE_ACCEPTED = 4 << 20
"""Encoders wait for the answer to publish; the ones that do not are read no further than this."""
_MAX_UNSENT_BYTES = 1 << 20
_LINGER_SECONDS = 1.0
_FINISH_SECONDS = 10.0
_log = structlog.get_logger(__name__)


class _Gone(Exception):  # noqa: N818
    """The connection has ended; the text says how."""


class Publisher:
    def __init__(
        self,
        hubs: Hubs,
        limits: AddressLimits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._hubs = hubs
        self._settings = hubs.settings
        self._metrics = hubs.metrics
        self._limits = limits
        self._reader = reader
        self._writer = writer
        peer = writer.get_extra_info("peername")
        self.address: str = peer[0] if peer else ""
        self._session = ServerSession()
        self._log = _log.bind(address=self.address)
        self._accepted_at: float | None = None
        self._received = 0

    async def run(self) -> None:
        """Serves the connection; closes it in any case."""
        try:
            found = await self._until_publish()
            if found is not None:
                await self._publish(*found)
        except _Gone:
            pass  # before anything was published: a port scan, a health check
        except TimeoutError:
            self._broken("no publish in time")
        except RtmpError as error:
            self._broken(str(error))
        except OSError:
            pass  # reset by the peer
        finally:
            self._writer.transport.abort()

    def _broken(self, why: str) -> None:
        self._metrics.protocol_errors.inc()
        self._log.info("connection_broken", why=why)

    # ------------------------------------------------------------------ before publish

    async def _until_publish(self) -> tuple[PublishRequested, list[ServerEvent]] | None:
        """The request to publish and what came with it; None when the client wanted to play.

        Raises TimeoutError, RtmpError, _Gone.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._settings.handshake_seconds) as timer:
            greeted = False
            while True:
                events = await self._read()
                if self._received > _MAX_BYTES_BEFORE_PUBLISH:
                    raise RtmpError("too many bytes before publish")
                if self._session.handshake_done and not greeted:
                    greeted = True
                    timer.reschedule(loop.time() + self._settings.publish_seconds)
                for index, event in enumerate(events):
                    if isinstance(event, PublishRequested):
                        return event, events[index + 1 :]
                    if isinstance(event, PlayRefused):
                        await self._linger()
                        return None

    async def _read(self) -> list[ServerEvent]:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise _Gone("the publisher closed the connection")
        self._received += len(data)
        self._metrics.received_bytes.inc(len(data))
        events = self._session.feed(data)
        self._flush()
        return events

    def _flush(self) -> None:
        data = self._session.take_output()
        if not data:
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            raise RtmpError("the peer asks, but does not read the answers")

    # ------------------------------------------------------------------ publishing

    async def _publish(self, request: PublishRequested, early: list[ServerEvent]) -> None:
        try:
            path = parse_publish_path(request.app, request.stream_key)
        except BadPath as error:
            await self._refuse(Refused("BadPath", str(error)), None)
            return
        if self._limits.is_blocked(self.address):
            message = "too many wrong keys from this address; try again in a minute"
            await self._refuse(Refused("TooManyFailures", message), path)
            return
        retention = Retention(
            self._settings.retain_seconds, self._settings.retain_bytes, time.monotonic
        )
        keeper = LegKeeper(
            self._hubs,
            path,
            retention,
            remote=self.address,
            on_accepted=lambda: self._on_accepted(path),
        )
        reading = asyncio.create_task(self._read_media(early, keeper, retention))
        keeping = asyncio.create_task(keeper.run())
        ending: Ending | None = None
        why = ""
        try:
            await asyncio.wait((reading, keeping), return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                ending = keeping.result()
            else:
                why = reading.result()
                keeper.finish()
                if keeper.accepted.is_set():
                    await asyncio.wait((keeping,), timeout=_FINISH_SECONDS)
        finally:
            for task in (reading, keeping):
                task.cancel()
            await asyncio.gather(reading, keeping, return_exceptions=True)
            self._ended(path, ending, why)
        if ending is not None:
            await self._tell(ending, path)

    async def _read_media(
        self, early: list[ServerEvent], keeper: LegKeeper, retention: Retention
    ) -> str:
        """Reads until the publisher ends; returns how it did."""
        loop = asyncio.get_running_loop()
        idle = self._settings.idle_seconds
        gauge = self._metrics.retained_bytes
        counted = 0
        events = early
        try:
            async with asyncio.timeout(idle) as timer:
                while True:
                    media = [retention.add(e) for e in events if isinstance(e, Media)]
                    if media:
                        keeper.put(media)
                    gauge.inc(retention.size - counted)
                    counted = retention.size
                    if any(isinstance(e, PublishStopped) for e in events):
                        return "the publisher ended the stream"
                    if self._accepted_at is None and counted > _MAX_BYTES_BEFORE_ACCEPTED:
                        await keeper.accepted.wait()
                    events = await self._read()
                    timer.reschedule(loop.time() + idle)
        except TimeoutError:
            return "the publisher was silent"
        except RtmpError as error:
            self._metrics.protocol_errors.inc()
            return str(error)
        except _Gone as gone:
            return str(gone)
        except OSError:
            return "the connection was reset"
        finally:
            gauge.dec(counted)

    def _on_accepted(self, path: PublishPath) -> None:
        if not self._session.publish_requested:
            return  # it has gone meanwhile
        self._accepted_at = time.monotonic()
        self._metrics.accepted.inc()
        self._metrics.publishers.inc()
        self._log.info("publish_accepted", namespace=path.namespace, stream=path.stream)
        self._session.accept_publish()
        with contextlib.suppress(RtmpError):
            self._flush()

    def _ended(self, path: PublishPath, ending: Ending | None, why: str) -> None:
        if self._accepted_at is None:
            return
        self._metrics.publishers.dec()
        match ending:
            case Refused(reason=reason):
                why = reason
            case GaveUp(why=cause):
                why = f"no hub in time: {cause}"
            case _:
                why = why or "the hub has closed the leg"
        self._log.info(
            "publish_ended",
            namespace=path.namespace,
            stream=path.stream,
            why=why,
            seconds=round(time.monotonic() - self._accepted_at, 1),
            received_bytes=self._received,
        )

    async def _tell(self, ending: Ending, path: PublishPath) -> None:
        match ending:
            case Refused() if self._accepted_at is None:
                if ending.reason == "BadKey":
                    self._limits.failed(self.address)
                await self._refuse(ending, path)
            case Refused(reason=reason, message=message):
                if self._session.publishing:
                    self._session.end_publish(BAD_NAME, f"{reason}: {message}")
                    await self._linger()
            case GaveUp():
                # Closed without a word: OBS tries again after that, and not after a refusal.
                self._metrics.held_out.inc()
                if self._accepted_at is None:
                    self._log.warning(
                        "publish_not_served",
                        namespace=path.namespace,
                        stream=path.shown_stream,
                        why=ending.why,
                    )
            case Over():
                pass

    async def _refuse(self, refusal: Refused, path: PublishPath | None) -> None:
        self._metrics.refused(refusal.reason)
        names = {"namespace": path.namespace, "stream": path.shown_stream} if path else {}
        self._log.info("publish_refused", reason=refusal.reason, **names)
        if self._session.publish_requested:
            # To the encoder a path that names nothing is a wrong key as well.
            reason = "BadKey" if refusal.reason == "BadPath" else refusal.reason
            self._session.reject_publish(BAD_NAME, f"{reason}: {refusal.message}")
            await self._linger()

    async def _linger(self) -> None:
        """Sends what waits, then lets the peer close: a reset could overtake the last words."""
        self._flush()
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            async with asyncio.timeout(_LINGER_SECONDS):
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                while await self._reader.read(_READ_BYTES):
                    pass
