"""One RTMP or RTMPS publisher, from its first byte to its last.

The RTMP session decodes the encoder's requests and messages; the publication carries the media to
the hub; this module joins the two. Neither the key nor the publish path as received is logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

import structlog

from sluice_media.contract import LegReason
from sluice_media.formats.errors import MediaError
from sluice_media.formats.flv import FlvDemuxer
from sluice_media.gateway.settings import GatewaySettings
from sluice_media.gateway.wire import Wire
from sluice_media.protocols.rtmp import (
    BAD_NAME,
    Media,
    PlayRefused,
    PublishRequested,
    PublishStopped,
    RtmpError,
    ServerEvent,
)
from sluice_media.publishing.demuxed import DemuxedMedia
from sluice_media.publishing.keeper import Hubs
from sluice_media.publishing.leg_records import PictureNotices
from sluice_media.publishing.path import BadPath, parse_publish_path
from sluice_media.publishing.publication import (
    HubUnavailable,
    Publication,
    Publish,
    PublishEnd,
    PublishRefused,
    note_refusal,
)
from sluice_media.publishing.reasons import PublishReason

_MAX_BYTES_BEFORE_PUBLISH = 128 << 10
"""Handshake and commands take about 5 kB."""
_MAX_BYTES_BEFORE_ACCEPTED = 128 << 10
"""Most encoders wait for the answer to publish. An encoder that does not wait is read up to this
limit until it is accepted, so that an unknown peer cannot fill our memory. One read may bring
256 KiB more."""
_MAX_MESSAGES_BEFORE_ACCEPTED = 2_048
"""Each message costs some 100 bytes, even an empty one."""
_TICK_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class RtmpPublisher:
    """The connection of one encoder."""

    def __init__(self, settings: GatewaySettings, hubs: Hubs, publish: Publish, wire: Wire) -> None:
        self._settings = settings
        self._hubs = hubs
        self._publish = publish
        self._wire = wire
        self._session = wire.session
        self._log = _log.bind(address=wire.address)
        self._request: asyncio.Future[PublishRequested | PlayRefused]
        self._request = asyncio.get_running_loop().create_future()
        self._early: list[Media] = []
        """Messages that arrived before the hub's answer."""
        wire.on_events = self._before_accepted
        wire.max_received = _MAX_BYTES_BEFORE_PUBLISH

    async def run(self) -> None:
        """Serve the connection; close it in any case."""
        try:
            request = await self._until_publish()
            if isinstance(request, PublishRequested):
                await self._serve(request)
            elif request is not None:
                await self._wire.linger()
        finally:
            self._wire.abort()

    # ------------------------------------------------------------------ before the hub's answer

    def _before_accepted(self, events: list[ServerEvent]) -> None:
        """Process events that arrive before the hub's answer. Raises RtmpError for too many."""
        for event in events:
            if isinstance(event, Media):
                self._early.append(event)
            elif isinstance(event, PublishStopped):
                self._wire.end("the publisher ended the stream")
            elif not self._request.done():
                self._wire.max_received = None
                self._wire.pause_beyond = _MAX_BYTES_BEFORE_ACCEPTED
                self._request.set_result(event)
        if len(self._early) > _MAX_MESSAGES_BEFORE_ACCEPTED:
            self._early.clear()
            raise RtmpError("too many messages before the answer to publish")

    async def _until_publish(self) -> PublishRequested | PlayRefused | None:
        """Return the client's request; None when it disconnected or sent none in time."""
        wire = self._wire
        waits = (self._request, wire.ended)
        once = asyncio.FIRST_COMPLETED
        await asyncio.wait(waits, timeout=self._settings.handshake_seconds, return_when=once)
        if self._session.handshake_done:
            await asyncio.wait(waits, timeout=self._settings.publish_seconds, return_when=once)
        if self._request.done():
            return self._request.result()
        if not wire.ended.done():
            wire.broke_protocol = True
            wire.end("no publish in time" if self._session.handshake_done else "no handshake")
        if wire.broke_protocol:  # a port scan or a health check does not count as an error
            self._hubs.metrics.protocol_errors.inc()
            suppressed = self._hubs.log_limiter.admit(wire.address)
            if suppressed is not None:
                self._log.info("connection_broken", why=wire.ended.result(), suppressed=suppressed)
        return None

    async def _serve(self, request: PublishRequested) -> None:
        wire = self._wire
        try:
            publication = await self._accepted(request)
        except PublishRefused as refused:
            await self._refuse(refused)
            return
        except HubUnavailable:
            return  # OBS tries again after a close without an answer, but not after a refusal.
        if publication is None:
            return
        try:
            self._accept(publication)
            await self._while_on_air(publication)
            why = wire.ended.result() if wire.ended.done() else ""
            await publication.finish(why or "the hub has closed the leg")
        finally:
            if wire.broke_protocol:
                self._hubs.metrics.protocol_errors.inc()
            await publication.abort()
        await self._close(publication.ended.result())

    async def _accepted(self, request: PublishRequested) -> Publication | None:
        """Return the publication that a hub accepted; None when the publisher disconnected before.

        Raises PublishRefused and HubUnavailable.
        """
        wire = self._wire
        try:
            path = parse_publish_path(request.app, request.stream_key)
        except BadPath as bad:
            note_refusal(
                self._hubs, PublishReason.BAD_PATH, protocol=wire.protocol, remote=wire.address
            )
            raise PublishRefused(PublishReason.BAD_PATH, str(bad)) from bad
        publishing = asyncio.ensure_future(
            self._publish(path.namespace, path.stream, path.key, wire.address)
        )
        try:
            await asyncio.wait((publishing, wire.ended), return_when=asyncio.FIRST_COMPLETED)
            return await publishing if publishing.done() else None
        finally:
            if not publishing.done():
                publishing.cancel()
                await asyncio.gather(publishing, return_exceptions=True)

    # ------------------------------------------------------------------ on air

    def _accept(self, publication: Publication) -> None:
        """Answer the encoder, and pass its media to the publication from now on."""
        if not self._session.publish_requested:
            return  # it has ended its stream meanwhile
        self._session.accept_publish()
        with contextlib.suppress(RtmpError):
            self._wire.flush()
        self._pass_media(publication)
        self._wire.pause_beyond = None
        self._wire.resume()

    def _pass_media(self, publication: Publication) -> None:
        demuxer = FlvDemuxer()
        media = DemuxedMedia(demuxer, publication)
        notices = PictureNotices(time.monotonic)

        def on_events(events: list[ServerEvent]) -> None:
            utc_us = time.time_ns() // 1_000
            messages = (event for event in events if isinstance(event, Media))
            try:
                media.take(
                    unit
                    for message in messages
                    for unit in demuxer.feed(
                        message.type_id, message.timestamp_ms, message.payload, utc_us
                    )
                )
            except MediaError as error:
                publication.reject(error.reason, str(error))
                self._wire.on_events = lambda events: None
            if notices.due(self._session.unfinished_bytes):
                publication.picture_comes()
            if any(isinstance(event, PublishStopped) for event in events):
                self._wire.end("the publisher ended the stream")

        self._wire.on_events = on_events
        early, self._early = self._early, []
        on_events([*early])

    async def _while_on_air(self, publication: Publication) -> None:
        """Return when the publisher or the publication has ended."""
        wire = self._wire
        loop = asyncio.get_running_loop()
        tick = min(_TICK_SECONDS, self._settings.idle_seconds / 2)
        while True:
            done, _ = await asyncio.wait(
                (publication.ended, wire.ended), timeout=tick, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                return
            if loop.time() - wire.last_byte_at > self._settings.idle_seconds:
                wire.end("the publisher was silent")

    # ------------------------------------------------------------------ the end

    async def _close(self, end: PublishEnd) -> None:
        """Answer the encoder with the end of its publication."""
        if end.reason == PublishReason.FINISHED:
            await self._wire.until_peer_closes()
        elif end.reason != PublishReason.HUB_UNAVAILABLE and self._session.publishing:
            self._session.end_publish(BAD_NAME, f"{end.reason}: {end.message}")
            await self._wire.linger()

    async def _refuse(self, refused: PublishRefused) -> None:
        if self._session.publish_requested:
            # Encoders report a path without a stream as a wrong key, too.
            reason = (
                LegReason.BAD_KEY if refused.reason == PublishReason.BAD_PATH else refused.reason
            )
            self._session.reject_publish(BAD_NAME, f"{reason}: {refused.message}")
            await self._wire.linger()
