"""One publish to one target, over any protocol: dial, feed, measure, end.

The feeder's bytes go out as fast as the target takes them. The bytes still on their way are
measured several times a second: only this measurement distinguishes a target that takes media from
one that does not (see :mod:`.flow`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog

from sluice_media.contract import TargetErrorClass
from sluice_media.formats.units import TrackFormat
from sluice_media.net.address_guard import DialGuard, NotAllowedError
from sluice_media.protocols.rtmp.errors import RtmpError
from sluice_media.protocols.srt.errors import SrtError
from sluice_media.protocols.srt.url import SrtUrl
from sluice_media.push.channel import Channel, CodecRefused
from sluice_media.push.failures import Failure, TargetFailure, from_guard, from_os_error
from sluice_media.push.feeder import Feeder, QueuedUnit
from sluice_media.push.flow import FlowMeter, Sample
from sluice_media.push.machine import Accepted, Ended, Event, Flow, FlowMeasured
from sluice_media.push.rtmp_channel import RtmpChannel
from sluice_media.push.srt_channel import SrtChannel
from sluice_media.push.target import Target
from sluice_media.push.tracks import AudioPolicy, VideoCodecs

OPEN_SECONDS = 10.0
"""Timeout from the start of the name's resolution to an accepted publish."""
FLUSH_SECONDS = 5.0
"""Timeout for the queued media when the pusher ends the publish in order."""
MEASURE_SECONDS = 0.25
"""Time between two measurements."""
FLOWING_MEASURE_SECONDS = 0.5
"""Time between two measurements of a connection that flows."""
KEEP_ALIVE_SECONDS = 5.0
"""Maximum silence on a connection. Firewalls and load balancers drop silent connections; the
shortest limits known are about ten seconds."""
BATCH_BYTES = 64 << 10
_log = structlog.get_logger(__name__)


def open_channel(
    target: Target,
    guard: DialGuard,
    *,
    audio: AudioPolicy,
    formats: Sequence[TrackFormat],
    video_codecs: VideoCodecs,
) -> Channel:
    """Return the channel for a target's protocol, not dialled yet. ``formats`` are the present
    tracks."""
    url = target.url
    if isinstance(url, SrtUrl):
        return SrtChannel(target.place, url, guard, audio)
    return RtmpChannel(target, url, guard, audio=audio, formats=formats, video_codecs=video_codecs)


class Connection:
    """Owner of one channel and its tasks. It is used once: :meth:`run` dials, publishes and feeds.

    ``report`` receives Accepted once, FlowMeasured at each change, and always Ended last.
    ``sent`` receives the number of bytes that were given to the channel.
    """

    def __init__(
        self,
        channel: Channel,
        feeder: Feeder,
        *,
        place: str,
        report: Callable[[Event], None],
        sent: Callable[[int], None],
    ) -> None:
        self._channel = channel
        self._feeder = feeder
        self._place = place
        self._report = report
        self._sent = sent
        self._sent_bytes = 0
        self._last_units: list[QueuedUnit] | None = None
        """Units that are still to be sent; set when the pusher ends the publish in order."""
        self._goodbye = True
        """True to unpublish at the end."""
        self._accepted = False
        self._more = asyncio.Event()
        self._ending = asyncio.Event()
        self._over = asyncio.Event()
        self._end: Ended | None = None
        self._lost_bytes = 0

    def wake(self) -> None:
        """Note that the feeder has new units."""
        self._more.set()

    def hang_up(self, *, clean: bool, goodbye: bool = True) -> None:
        """End the connection. ``clean`` sends the queued media first, then unpublishes if
        ``goodbye``."""
        if not (clean and self._accepted):
            self._finish(Ended(None))
        elif self._last_units is None:
            self._last_units = self._feeder.take(1 << 62)
            self._goodbye = goodbye
            self._more.set()
            self._ending.set()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that were queued and have not reached the target."""
        return self._feeder.queued_bytes + self._channel.backlog().waiting_bytes

    @property
    def lost_bytes(self) -> int:
        """Bytes that the channel gave up on their way."""
        return self._lost_bytes

    async def run(self) -> None:
        """Dial and publish until the connection is over; the cause goes to ``report``."""
        # The queue begins now and not when the publish is accepted. Otherwise the start of a
        # session would be lost at a target that is slow to accept.
        self._feeder.attach()
        try:
            await self._until_over(self._guarded(self._publish))
        finally:
            self._feeder.detach()
            self._channel.abort()
        self._report(self._end or Ended(None))

    # ------------------------------------------------------------------ tasks

    async def _until_over(self, *loops: Coroutine[Any, Any, None]) -> None:
        """Run the loops until the connection is over, then cancel them."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop) for loop in loops]
            await self._over.wait()
            for task in tasks:
                task.cancel()

    async def _guarded(self, work: Callable[[], Awaitable[Failure | None]]) -> None:
        """Run ``work``; end the connection with its result or its error."""
        codec_problem: str | None = None
        failure: Failure | None = None
        try:
            failure = await work()
        except TargetFailure as ended:
            failure = ended.failure
        except CodecRefused as refused:
            codec_problem = str(refused)
        except NotAllowedError as refused:
            failure = from_guard(refused)
        except (SrtError, RtmpError) as error:
            failure = Failure(TargetErrorClass.UNSUPPORTED, str(error))
        except OSError as error:
            failure = from_os_error(error, self._place)
        self._finish(Ended(failure, codec_problem))

    def _finish(self, end: Ended) -> None:
        if self._end is None:
            self._end = end
        self._over.set()

    async def _publish(self) -> Failure | None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._channel.open()
        except TimeoutError:
            # The guard's own, shorter timeout for connecting also ends here.
            return Failure(
                TargetErrorClass.TIMEOUT,
                f"{self._place} does not answer, or does not speak the protocol of the URI",
            )
        self._accepted = True
        self._report(Accepted())
        await self._until_over(
            self._guarded(self._channel.watch),
            self._guarded(self._write),
            self._guarded(self._measure),
            self._guarded(self._limit),
        )
        return None

    async def _write(self) -> Failure | None:
        while self._last_units is None:
            items = self._feeder.take(BATCH_BYTES)
            if items:
                self._count(await self._channel.send(items))
                continue
            self._more.clear()
            await self._more.wait()
        self._count(await self._channel.finish(self._last_units, goodbye=self._goodbye))
        return None

    def _count(self, sent: int) -> None:
        self._sent_bytes += sent
        self._sent(sent)

    async def _measure(self) -> Failure | None:
        """Measure the flow, and keep the connection alive while there is no media."""
        meter = FlowMeter()
        reported: Flow | None = None
        idle_since, sent_before = time.monotonic(), -1
        while True:
            await asyncio.sleep(
                FLOWING_MEASURE_SECONDS if reported is Flow.FLOWING else MEASURE_SECONDS
            )
            now = time.monotonic()
            if self._sent_bytes != sent_before:
                idle_since, sent_before = now, self._sent_bytes
            elif now - idle_since >= KEEP_ALIVE_SECONDS and self._last_units is None:
                self._count(self._channel.keep_alive())
                idle_since, sent_before = now, self._sent_bytes
            backlog = self._channel.backlog()
            self._lost_bytes = backlog.lost_bytes
            queued = self._feeder.queued_bytes
            if self._channel.paced:
                # Pacing alone fills this queue: it is no backlog of the target.
                queued = queued if backlog.is_held_back else 0
                handed = self._sent_bytes + queued
            else:
                handed = self._feeder.handed_bytes
            if not handed:
                continue
            flow = meter.sample(
                Sample(
                    at=now,
                    handed=handed,
                    waiting=backlog.waiting_bytes + queued,
                    reach=backlog.reach_bytes,
                    lost=backlog.lost_bytes,
                    dropped=self._feeder.dropped_bytes,
                ),
                self._feeder.bytes_per_second,
            )
            if flow is not reported and self._last_units is None:
                reported = flow
                self._report(FlowMeasured(flow))

    async def _limit(self) -> Failure | None:
        """End the connection when sending the last units takes too long."""
        await self._ending.wait()
        await asyncio.sleep(FLUSH_SECONDS)
        _log.info("flush_timed_out", waiting_bytes=self._channel.backlog().waiting_bytes)
        return None
