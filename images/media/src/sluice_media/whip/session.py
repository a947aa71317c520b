"""One WHIP session: a peer, a transcoder and a publication, which begin and end together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from sluice_media.formats.units import AccessUnit, TrackFormat, TrackKind, UnitFlags
from sluice_media.publishing.publication import Publication
from sluice_media.whip.keyframes import KeyframeRequests, is_keyframe
from sluice_media.whip.media_port import MediaPort
from sluice_media.whip.metrics import WhipMetrics
from sluice_media.whip.offer import Offer
from sluice_media.whip.peer import Peer
from sluice_media.whip.settings import WhipSettings
from sluice_media.whip.transcoder import Transcoder, TranscoderFailed

_TICK_SECONDS = 0.1
_COUNT_SECONDS = 1.0
_TRACKS = {TrackKind.VIDEO: 0, TrackKind.AUDIO: 1}
_log = structlog.get_logger(__name__)


class Session:
    """One session. Call :meth:`answer` first, then :meth:`run` once, which always cleans up."""

    def __init__(
        self,
        settings: WhipSettings,
        metrics: WhipMetrics,
        publication: Publication,
        posted_at: float,
    ) -> None:
        """``posted_at`` is the arrival of the offer, in monotonic seconds."""
        self._settings = settings
        self._metrics = metrics
        self._publication = publication
        self._posted_at = posted_at
        self._loop = asyncio.get_running_loop()
        self._keyframes = KeyframeRequests(settings.gop_seconds)
        self._peer = Peer(self._on_frame, self._on_loss)
        self._transcoder = Transcoder(
            settings,
            metrics,
            on_formats=self._on_formats,
            on_unit=self._on_unit,
            on_keyframe_needed=self._keyframes.need,
        )
        self._transcoding = asyncio.create_task(self._transcoder.run(), name="whip-transcoder")
        self._live = False
        self._stopped: asyncio.Future[str] = self._loop.create_future()

    @property
    def transcoder_pid(self) -> int | None:
        """Process id of the transcoder; None while it does not run."""
        return self._transcoder.pid

    async def answer(
        self, offer: Offer, port: MediaPort, candidates: Sequence[tuple[str, int]]
    ) -> str:
        """Return the SDP answer. Raise CodecsMissing or ValueError; then call :meth:`close`."""
        return await self._peer.answer(offer, port, candidates)

    def stop(self, why: str) -> None:
        """Make the session end soon; :meth:`run` returns when it has ended."""
        if not self._stopped.done():
            self._stopped.set_result(why)

    async def run(self) -> str:
        """Run the session to its end. Return the reason for its end as text."""
        try:
            return await self._until_end()
        finally:
            await asyncio.shield(self.close())

    async def close(self) -> None:
        """Release the peer, the transcoder and the publication."""
        self._transcoding.cancel()
        await asyncio.gather(
            self._transcoding,
            self._peer.close(),
            self._publication.finish(),
            return_exceptions=True,
        )

    # ------------------------------------------------------------------ life

    async def _until_end(self) -> str:
        publication, peer = self._publication, self._peer
        counted_at = began_at = self._loop.time()
        waits = (self._stopped, publication.ended, peer.ended, self._transcoding)
        while True:
            await asyncio.wait(waits, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if self._stopped.done():
                return self._stopped.result()
            if publication.ended.done():
                end = publication.ended.result()
                return f"{end.reason}: {end.message}"
            if peer.ended.done():
                return peer.ended.result()
            if self._transcoding.done():
                return _failure_of(self._transcoding)
            now = self._loop.time()
            if not self._live and now - began_at > self._settings.connect_seconds:
                return f"no picture came within {self._settings.connect_seconds:g} s"
            if self._live and now - peer.received_at > self._settings.silence_seconds:
                return f"the sender was silent for {self._settings.silence_seconds:g} s"
            if self._keyframes.due(now) and await peer.request_keyframe():
                self._keyframes.requested(now)
                self._metrics.keyframe_requests.inc()
            if now - counted_at >= _COUNT_SECONDS:
                counted_at = now
                self._metrics.lost_packets.inc(peer.newly_lost())

    # ------------------------------------------------------------------ media

    def _on_frame(self, kind: TrackKind, data: bytes, pts: int) -> None:
        flags = UnitFlags.NONE
        if kind is TrackKind.VIDEO and is_keyframe(data):
            flags = UnitFlags.RANDOM_ACCESS
            self._keyframes.saw_keyframe(self._loop.time())
        self._transcoder.feed(
            AccessUnit(_TRACKS[kind], pts, pts, flags, time.time_ns() // 1_000, data)
        )

    def _on_loss(self) -> None:
        self._metrics.keyframe_requests.inc()

    def _on_formats(self, formats: Sequence[TrackFormat]) -> None:
        if not self._publication.ended.done():
            self._publication.take_formats(formats)

    def _on_unit(self, unit: AccessUnit) -> None:
        if self._publication.ended.done():
            return
        if not self._live:
            self._live = True
            seconds = self._loop.time() - self._posted_at
            self._metrics.first_unit_seconds.observe(seconds)
            _log.info("whip_live", first_unit_seconds=round(seconds, 3))
        if unit.track == _TRACKS[TrackKind.VIDEO]:
            self._metrics.transcode_seconds.observe(max(0, time.time() - unit.utc_us / 1e6))
        self._publication.take_unit(unit)


def _failure_of(transcoding: asyncio.Task[None]) -> str:
    error = transcoding.exception()
    if isinstance(error, TranscoderFailed):
        return f"the transcoder failed: {error}"
    return f"the transcoder failed: {type(error).__name__}"
