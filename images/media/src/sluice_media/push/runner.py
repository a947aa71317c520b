"""The pusher put together: configuration and timeline in, one connection at a time out.

Everything that happens becomes an event of :class:`PushMachine`; what the machine answers is done
here, and what it shows is published as the status.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import aiohttp
import structlog

from sluice_media.contract import (
    HUB_TOKEN_FILE,
    PusherConfig,
    PusherStatus,
    PushState,
    StreamRef,
    TargetError,
    TimelineFormat,
)
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.net.address_guard import AddressRules, DialGuard, Resolver, system_resolver
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.status_server import StatusBoard
from sluice_media.protocols.srt.url import SrtUrl
from sluice_media.push.clearance import is_cleared
from sluice_media.push.connection import Connection, open_channel
from sluice_media.push.feeder import Feeder
from sluice_media.push.machine import (
    Action,
    CodecsChecked,
    Configured,
    Dial,
    Ended,
    Event,
    HangUp,
    Leaving,
    Moment,
    PushMachine,
    SourceChanged,
)
from sluice_media.push.metrics import PushMetrics
from sluice_media.push.retries import RetryPolicy
from sluice_media.push.setup import duplicate_words, read_target, wish
from sluice_media.push.source import SourceTracker
from sluice_media.push.target import InvalidTargetError, Target, target_digest
from sluice_media.push.tracks import Carrier, mismatch
from sluice_media.timeline.framing import FramingError, track_formats
from sluice_media.timeline.reader import TimelineReader

TICKING = frozenset({"bytes_sent", "dropped_frames"})
"""Status fields that change all the time."""
_TICK_SECONDS = 5.0
_GATHER_SECONDS = 0.15
"""Media is taken from the hub in batches of so long: waking for each unit would cost most of what
a push costs, and a platform's own delay is thirty times that."""
_FAILED_STATES = frozenset({PushState.BACKOFF, PushState.REJECTED, PushState.GAVE_UP})
_log = structlog.get_logger(__name__)


class Pusher:
    """Pushes until told to stop; see :meth:`run`."""

    def __init__(
        self,
        watch: ConfigWatch[PusherConfig],
        board: StatusBoard[PusherStatus],
        metrics: PushMetrics,
        *,
        hub_port: int,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._watch = watch
        self._board = board
        self._metrics = metrics
        self._hub_port = hub_port
        self._machine = PushMachine(random.uniform)
        self._source = SourceTracker()
        self._feeder = Feeder()
        self._resolver = resolver
        self._target: Target | None = None
        self._formats: tuple[TrackFormat, ...] | None = None
        self._wanted = wish(watch.config)
        self._connection: Connection | None = None
        self._dialled: Target | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._read_from: StreamRef | None = None
        self._reading: asyncio.Task[None] | None = None
        self._touched = asyncio.Event()
        self._source_due: float | None = None
        self._sent_bytes = 0
        metrics.gauge(
            "sluice_push_queue_bytes",
            "Bytes on their way to the target, in our queue and in the kernel.",
            lambda: self._connection.waiting_bytes if self._connection else 0,
        )
        metrics.gauge(
            "sluice_push_queue_seconds",
            "Seconds of media in our own queue.",
            lambda: self._feeder.queued_seconds,
        )
        metrics.gauge(
            "sluice_push_dropped_units",
            "Access units that the target did not get because it was too slow.",
            lambda: self._feeder.dropped_units,
        )
        metrics.gauge(
            "sluice_push_dropped_frames",
            "Of these: pictures, or audio frames of a stream without video.",
            lambda: self._feeder.dropped_frames,
        )
        metrics.gauge(
            "sluice_push_lost_bytes",
            "Bytes of the present connection that SRT gave up, because they would be too late.",
            lambda: self._connection.lost_bytes if self._connection else 0,
        )

    async def run(self, terminate: asyncio.Event) -> None:
        """Push until ``terminate`` is set.

        Then send what is queued and close the connection without an unpublish: the target waits for
        the next pod, as for any publisher that lost its line. A push that was switched off has
        ended before."""
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._http = http
            self._apply_config(self._watch.config)
            workers = [
                tasks.create_task(self._follow_config()),
                tasks.create_task(self._keep_time()),
                tasks.create_task(self._tick()),
            ]
            await terminate.wait()
            for worker in workers:
                worker.cancel()
            self._stop_reading()
            self._handle(Leaving())
            if self._connecting is not None:
                await self._connecting

    # ------------------------------------------------------------------ tasks

    async def _follow_config(self) -> None:
        async for config in self._watch.changes():
            self._apply_config(config)

    async def _keep_time(self) -> None:
        """Tells machine and source that time has passed when it matters to them."""
        while True:
            self._touched.clear()
            due = [d for d in (self._machine.deadline(), self._source.deadline()) if d is not None]
            wait = max(0.0, min(due) - time.monotonic()) if due else None
            try:
                async with asyncio.timeout(wait):
                    await self._touched.wait()
            except TimeoutError:
                self._source_changed(self._source.tick(time.monotonic()))
                self._do(self._machine.tick(_now()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._board.update(
                bytes_sent=self._sent_bytes, dropped_frames=self._feeder.dropped_frames
            )

    async def _read(self, stream: StreamRef) -> None:
        reader = TimelineReader(
            self._http,
            url=lambda: f"http://{stream.host}:{self._hub_port}",
            token=lambda: self._watch.key(HUB_TOKEN_FILE),
            reader=self._watch.config.uid,
            role="pusher",
            gather_seconds=_GATHER_SECONDS,
        )
        async for batch in reader.batches():
            for record in batch:
                if isinstance(record, AccessUnit):
                    self._feeder.add(record)
                    continue
                if isinstance(record, TimelineFormat):
                    # Before the session is known of: what cannot be carried is not dialled for.
                    self._take_formats(record)
                self._source_changed(self._source.record(record, time.monotonic()))
            if self._connection is not None:
                self._connection.wake()

    # ------------------------------------------------------------------ what happens

    def _source_changed(self, changes: Sequence[SourceChanged]) -> None:
        for change in changes:
            self._handle(change)
            if not change.session:
                # The connection took what was left of the session when it was told to hang up.
                self._feeder.clear()
        if self._source.deadline() != self._source_due:
            self._source_due = self._source.deadline()
            self._touched.set()

    def _handle(self, event: Event) -> None:
        if isinstance(event, Ended):
            self._connection = None
            if self._dialled != self._target:
                # A Secret changed meanwhile: its target counts from here on, and is to be cleared.
                self._apply_config(self._watch.config)
            if event.failure is not None:
                self._metrics.failures.labels(event.failure.class_.value).inc()
        self._do(self._machine.handle(event, _now()))

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Dial() if self._target is not None:  # without one there is an obstacle
                    self._dial(self._target)
                case HangUp(clean, goodbye) if self._connection is not None:
                    self._connection.hang_up(clean=clean, goodbye=goodbye)
        self._touched.set()
        self._publish()

    def _dial(self, target: Target) -> None:
        self._metrics.attempts.inc()
        self._dialled = target
        config = self._watch.config
        guard = DialGuard(AddressRules.of(config.guard), self._resolver)
        self._connection = Connection(
            open_channel(target, guard, config.audio, self._formats or (), config.video_codecs),
            self._feeder,
            place=target.place,
            report=self._handle,
            sent=self._count_sent,
        )
        self._connecting = self._tasks.create_task(self._connection.run())

    def _count_sent(self, count: int) -> None:
        self._sent_bytes += count
        self._metrics.sent_bytes.inc(count)

    def _take_formats(self, record: TimelineFormat) -> None:
        try:
            formats = track_formats(record.tracks)
        except FramingError as unknown:
            self._formats = None
            self._handle(CodecsChecked(f"The stream holds {unknown}."))
            return
        self._feeder.set_formats(formats)
        if formats != self._formats:
            self._formats = formats
            self._handle(CodecsChecked(self._codec_problem()))

    def _codec_problem(self) -> str | None:
        if self._formats is None or self._target is None:
            return None
        carrier = Carrier.TS if isinstance(self._target.url, SrtUrl) else Carrier.FLV
        return mismatch(self._formats, self._watch.config.audio, carrier)

    # ------------------------------------------------------------------ configuration

    def _apply_config(self, config: PusherConfig) -> None:
        error: tuple[str, str] | None = None
        target: Target | None = None
        try:
            target = read_target(config, self._watch.key)
        except InvalidTargetError as invalid:
            error = (invalid.reason, str(invalid))
        if error is None and config.duplicate_of is not None:
            error = ("DuplicateTarget", duplicate_words(config.duplicate_of))
        before = (self._target, self._wanted)
        self._target, self._wanted = target, wish(config)
        obstacle = error[0] if error else None
        claimed = self._dialled if self._connection is not None else target
        digest = target_digest(claimed, config.namespace) if claimed else ""
        if config.stream is None:
            obstacle = obstacle or "StreamNotFound"
        if not is_cleared(config, digest, self._watch.key(HUB_TOKEN_FILE)):
            obstacle = obstacle or "CheckingTarget"
        if not config.active:
            obstacle = "Disabled"
        retry = RetryPolicy(
            config.retry_min_seconds, config.retry_max_seconds, config.give_up_seconds
        )
        self._follow_stream(config.stream if config.active else None)
        self._board.configured(config, error)
        self._board.update(
            target=target.redacted if target else "",
            target_digest=digest,
        )
        fresh, renewed = self._wanted != before[1], target != before[0]
        events: list[Event] = [Configured(retry, obstacle, fresh, renewed)]
        if fresh or renewed:
            problem = self._codec_problem()
            # Whatever forbids to dial is told first.
            events.insert(0 if problem else 1, CodecsChecked(problem))
        for event in events:
            self._handle(event)

    def _follow_stream(self, stream: StreamRef | None) -> None:
        if stream is not None:
            self._source.resume_window_seconds = stream.resume_window_seconds
        where = (stream.uid, stream.host) if stream else None
        if where == ((self._read_from.uid, self._read_from.host) if self._read_from else None):
            return
        self._stop_reading()
        self._read_from = stream
        if stream is not None:
            self._reading = self._tasks.create_task(self._read(stream))

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        self._source_changed(self._source.stop())

    # ------------------------------------------------------------------ status

    def _publish(self) -> None:
        view = self._machine.view()
        before = self._board.status.state
        failure = view.last_failure
        error = None
        if failure is not None and view.last_failure_at is not None:
            error = TargetError(
                class_=failure.class_.value, message=failure.message, at=view.last_failure_at
            )
        self._board.update(
            state=view.state,
            idle_reason=view.idle_reason,
            message=view.message,
            connected=self._connection is not None,
            started_at=view.started_at,
            attempts=view.attempts,
            reconnects=view.reconnects,
            last_error=error,
            bytes_sent=self._sent_bytes,
            dropped_frames=self._feeder.dropped_frames,
        )
        self._metrics.state(view.state)
        if view.state is not before:
            _log.info(
                "push_state",
                state=view.state.value,
                before=before.value,
                target=self._target.redacted if self._target else "",
                error=failure.message if failure and view.state in _FAILED_STATES else None,
                retry_seconds=(
                    None if view.retry_at is None else round(view.retry_at - time.monotonic(), 3)
                ),
            )


def _now() -> Moment:
    return Moment(time.monotonic(), datetime.now(UTC))
