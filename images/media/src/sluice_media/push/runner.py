"""The pusher's I/O: configuration and timeline in, one connection at a time out.

Everything that happens becomes an event of :class:`PushMachine`. The runner carries out the
machine's actions and publishes its view as the status.
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
    ConfigErrorReason,
    PusherConfig,
    PusherStatus,
    PushState,
    TargetError,
    TimelineFormat,
)
from sluice_media.formats.units import TrackFormat
from sluice_media.net.address_guard import AddressRules, DialGuard, Resolver, system_resolver
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.status_server import StatusBoard
from sluice_media.protocols.srt.url import SrtUrl
from sluice_media.push.connection import Connection, open_channel
from sluice_media.push.feeder import Feeder
from sluice_media.push.follower import StreamFollower
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
    View,
)
from sluice_media.push.metrics import PushMetrics
from sluice_media.push.retries import RetryPolicy
from sluice_media.push.setup import (
    connection_options,
    describe_duplicate,
    find_obstacle,
    is_cleared,
    read_target,
)
from sluice_media.push.target import InvalidTargetError, Target, target_digest
from sluice_media.push.tracks import Carrier, mismatch
from sluice_media.timeline.framing import FramingError, track_formats

TICKING = frozenset({"bytes_sent", "dropped_frames"})
"""Status fields that change all the time; they alone do not make a new status version."""
_TICK_SECONDS = 5.0
_FAILED_STATES = frozenset({PushState.BACKOFF, PushState.REJECTED, PushState.GAVE_UP})
_log = structlog.get_logger(__name__)


class Pusher:
    """Owner of one Restream's machine, its connection and the follower of its stream."""

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
        self._feeder = Feeder()
        self._resolver = resolver
        self._target: Target | None = None
        self._formats: tuple[TrackFormat, ...] | None = None
        self._options = connection_options(watch.config)
        self._connection: Connection | None = None
        self._dialled: Target | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._deadlines_changed = asyncio.Event()
        self._sent_bytes = 0
        metrics.watch_feeder(self._feeder)
        metrics.watch_connection(lambda: self._connection)

    async def run(self, terminate: asyncio.Event) -> None:
        """Push until ``terminate`` is set.

        Then send what is queued and close the connection without an unpublish: the target waits for
        the next pod, as it does for any publisher that lost its connection. A Restream that is
        switched off has unpublished before its pod is stopped.
        """
        async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._stream = self._follower(tasks, http)
            self._apply_config(self._watch.config)
            workers = [
                tasks.create_task(self._follow_config()),
                tasks.create_task(self._keep_time()),
                tasks.create_task(self._tick()),
            ]
            await terminate.wait()
            for worker in workers:
                worker.cancel()
            self._stream.stop()
            self._handle(Leaving())
            if self._connecting is not None:
                await self._connecting

    def _follower(self, tasks: asyncio.TaskGroup, http: aiohttp.ClientSession) -> StreamFollower:
        return StreamFollower(
            self._feeder,
            tasks,
            http,
            hub_port=self._hub_port,
            reader=self._watch.config.uid,
            token=lambda: self._watch.key(HUB_TOKEN_FILE),
            on_formats=self._take_formats,
            on_change=self._handle,
            on_media=self._wake_connection,
            on_deadline=self._deadlines_changed.set,
        )

    # ------------------------------------------------------------------ tasks

    async def _follow_config(self) -> None:
        async for config in self._watch.changes():
            self._apply_config(config)

    async def _keep_time(self) -> None:
        """Tick source and machine at their deadlines."""
        while True:
            self._deadlines_changed.clear()
            due = [d for d in (self._machine.deadline(), self._stream.deadline()) if d is not None]
            wait = max(0.0, min(due) - time.monotonic()) if due else None
            try:
                async with asyncio.timeout(wait):
                    await self._deadlines_changed.wait()
            except TimeoutError:
                self._stream.tick()
                self._do(self._machine.tick(_now()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self._board.update(
                bytes_sent=self._sent_bytes, dropped_frames=self._feeder.dropped_frames
            )

    def _wake_connection(self) -> None:
        if self._connection is not None:
            self._connection.wake()

    # ------------------------------------------------------------------ events

    def _handle(self, event: Event) -> None:
        if isinstance(event, Ended):
            self._connection = None
            if self._dialled != self._target:
                # A Secret changed meanwhile: its target takes effect now and needs its clearance.
                self._apply_config(self._watch.config)
            if event.failure is not None:
                self._metrics.failures.labels(event.failure.class_.value).inc()
        self._do(self._machine.handle(event, _now()))

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Dial() if self._target is not None:  # without a target there is an obstacle
                    self._dial(self._target)
                case HangUp(clean, goodbye) if self._connection is not None:
                    self._connection.hang_up(clean=clean, goodbye=goodbye)
        self._deadlines_changed.set()
        self._publish()

    def _dial(self, target: Target) -> None:
        self._metrics.attempts.inc()
        self._dialled = target
        config = self._watch.config
        guard = DialGuard(AddressRules.of(config.guard), self._resolver)
        self._connection = Connection(
            open_channel(
                target,
                guard,
                audio=config.audio,
                formats=self._formats or (),
                video_codecs=config.video_codecs,
            ),
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
            self._handle(
                CodecsChecked(f"The stream has a track that Sluice cannot push: {unknown}.")
            )
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
            error = (ConfigErrorReason.DUPLICATE_TARGET, describe_duplicate(config.duplicate_of))
        options = connection_options(config)
        reconnect, keys_changed = options != self._options, target != self._target
        self._target, self._options = target, options
        claimed = self._dialled if self._connection is not None else target
        digest = target_digest(claimed, config.namespace) if claimed else ""
        cleared = is_cleared(config, digest, self._watch.key(HUB_TOKEN_FILE))
        self._stream.follow(config.stream if config.active else None)
        self._board.configured(config, error)
        self._board.update(
            target=target.redacted if target else "",
            target_digest=digest,
        )
        retry = RetryPolicy(
            config.retry_min_seconds, config.retry_max_seconds, config.give_up_seconds
        )
        events: list[Event] = [
            Configured(
                retry,
                find_obstacle(config, error, cleared=cleared),
                reconnect=reconnect,
                keys_changed=keys_changed,
            )
        ]
        if reconnect or keys_changed:
            problem = self._codec_problem()
            # The machine dials as soon as it may: a problem must reach it before the configuration.
            events.insert(0 if problem else 1, CodecsChecked(problem))
        for event in events:
            self._handle(event)

    # ------------------------------------------------------------------ status

    def _publish(self) -> None:
        """Publish the machine's view, and log a change of its state."""
        view = self._machine.view()
        before = self._board.status.state
        self._board.update(
            **_status_fields(view),
            connected=self._connection is not None,
            bytes_sent=self._sent_bytes,
            dropped_frames=self._feeder.dropped_frames,
        )
        self._metrics.state(view.state)
        if view.state is not before:
            failure = view.last_failure
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


def _status_fields(view: View) -> dict[str, object]:
    """Return the fields of the status that the machine decides."""
    error = None
    if view.last_failure is not None and view.last_failure_at is not None:
        error = TargetError(
            class_=view.last_failure.class_.value,
            message=view.last_failure.message,
            at=view.last_failure_at,
        )
    return {
        "state": view.state,
        "idle_reason": view.idle_reason,
        "message": view.message,
        "started_at": view.started_at,
        "attempts": view.attempts,
        "reconnects": view.reconnects,
        "last_error": error,
    }


def _now() -> Moment:
    return Moment(time.monotonic(), datetime.now(UTC))
