"""One attempt at a Recording: reads the timeline, writes chunks, stores them, reports the status.

:class:`~sluice_media.record.machine.RecorderMachine` decides; this module carries out its effects.
Effects touch only the local spool and run without awaiting, so that machine and files always
agree; the uploader does everything that needs the network. When the spool's disk fails, the
attempt ends. The next attempt continues from the whole chunks, and reads the rest from the hub's
ring.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import aiohttp
import structlog

from sluice_media.contract import (
    HUB_TOKEN_FILE,
    ConfigErrorReason,
    DesiredState,
    RecorderConfig,
    RecorderPhase,
    RecorderStatus,
    TimelineGap,
)
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.status_server import StatusBoard
from sluice_media.record.chunks import ChunkCutter, ClosedChunk
from sluice_media.record.effects import (
    BeginFile,
    Changed,
    Effect,
    EndFile,
    Finish,
    StopNoted,
    Write,
    rules_of,
)
from sluice_media.record.fence import Fence, begin_behind
from sluice_media.record.ledger import Ledger
from sluice_media.record.live_playlists import LivePlaylists
from sluice_media.record.machine import RecorderMachine
from sluice_media.record.metrics import RecordMetrics
from sluice_media.record.plan import PlannedFile, restore
from sluice_media.record.recover import Recovered
from sluice_media.record.source import open_timeline
from sluice_media.record.space import SpaceEstimate
from sluice_media.record.spool import SpoolFault, wait_for_spool
from sluice_media.record.status import recorder_status
from sluice_media.record.tick import next_tick
from sluice_media.record.upkeep import Upkeep
from sluice_media.record.uploader import FileClosed, Present, StopRequested, Uploader
from sluice_media.recording.journal import Completion
from sluice_media.recording.segments import SegmentedJournal
from sluice_media.storage.object_store import ObjectStore
from sluice_media.timeline.reader import TRACK_SKEW_TICKS, TimelineReader

FLUSH_ON_TERM_SECONDS = 15.0
_log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Outcome(Enum):
    """The end of an attempt."""

    DONE = "Done"
    """The Recording is over, and all of it is in the store."""
    TERMINATED = "Terminated"
    OVERTAKEN = "Overtaken"
    """Another attempt is in charge, or has finished the Recording."""
    SPOOL_BROKEN = "SpoolBroken"
    """The spool's disk failed; another attempt may begin."""


class Recorder:
    """One attempt at one Recording."""

    def __init__(
        self,
        *,
        watch: ConfigWatch[RecorderConfig],
        board: StatusBoard[RecorderStatus],
        storage: ObjectStore,
        spool: Path,
        attempt: str,
        recovered: Recovered,
        hub_port: int,
        ledger: Ledger | None = None,
        metrics: RecordMetrics | None = None,
        spool_fault: SpoolFault | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """``spool_fault`` is the fault that ended the former attempt; it is reported until this
        attempt has written a chunk."""
        config = watch.config
        self._watch = watch
        self._board = board
        self._storage = storage
        self._clock = clock
        self._hub_port = hub_port
        self._spool = spool
        self.spool_fault = spool_fault
        """Fault of the spool's disk; None when there is none."""
        self._restored = restore(recovered.merged, recovered.stop_requested_at)
        self._machine = RecorderMachine(rules_of(config), self._restored, clock())
        self._cutter = ChunkCutter(spool / attempt, len(recovered.adopted) + 1)
        self._metrics = metrics or RecordMetrics()
        self._space = SpaceEstimate(storage, config.prefix)
        self._space.restore(recovered.merged, attempt)
        self._playlists = LivePlaylists(config.prefix, attempt, recovered.merged)
        began = begin_behind(clock(), recovered.attempts_began)
        self.fence = Fence(storage, config.prefix, attempt, began)
        self._uploader = Uploader(
            storage,
            config.prefix,
            SegmentedJournal(attempt=attempt, recording_uid=config.uid, started_at=began),
            spool_limit_bytes=config.spool_limit_bytes,
            on_durable=self._on_durable,
            on_refused=lambda error: self._metrics.store_errors.labels(error.reason).inc(),
            on_unreadable=self._on_unreadable,
            playlists=self._playlists,
            fence=self.fence,
            ledger=ledger,
        )
        self._uploader.put(Present(), *recovered.adopted)
        self._uploader.put(*(FileClosed(file.entry()) for file in self._restored.unclosed))
        self._upkeep = Upkeep(
            storage,
            config=lambda: watch.config,
            head=recovered.head,
            fence=self.fence,
            space=self._space,
            uploader=self._uploader,
            store_is_away=recovered.store_is_away,
        )
        self._metrics.follow(self._machine, self._cutter, self._uploader)
        self._durable_dts: dict[str, dict[int, int]] = {}
        self._finished = asyncio.Event()
        self._last_state: object = None
        self._reader: TimelineReader | None = None

    async def run(self, terminate: asyncio.Event) -> Outcome:
        """Record until the Recording is over, ``terminate`` is set, or the attempt fails."""
        # The uploader has a group of its own: it must outlive the tasks that feed it.
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as outer:
            helpers = [outer.create_task(self._uploader.run())]
            self._board.tick = self._publish
            self._publish()
            try:
                outcome = await self._record(session, terminate)
                helpers.append(outer.create_task(self._publish_forever()))
                outcome = await self._conclude(outcome, terminate)
            finally:
                self._board.tick = None
            for helper in helpers:
                helper.cancel()
        if outcome is Outcome.DONE:
            self._publish(RecorderPhase.DONE)
        return outcome

    async def _conclude(self, outcome: Outcome, terminate: asyncio.Event) -> Outcome:
        """Store everything that was recorded."""
        uploader = self._uploader
        try:
            self._put(self._cutter.close())
        except OSError as error:
            self._break_off(error)
        if outcome is Outcome.DONE:
            await _first(uploader.completed.wait(), uploader.overtaken.wait(), terminate.wait())
            if uploader.completed.is_set():
                return Outcome.DONE
            outcome = Outcome.TERMINATED if terminate.is_set() else Outcome.OVERTAKEN
        if outcome is Outcome.SPOOL_BROKEN:
            # Storing continues meanwhile: on a full disk it frees space.
            await _first(wait_for_spool(self._spool), uploader.drained(), terminate.wait())
        else:
            await self._flush()
        return outcome

    async def _record(self, session: aiohttp.ClientSession, terminate: asyncio.Event) -> Outcome:
        is_broken = False
        try:
            async with asyncio.TaskGroup() as tasks:
                self._reader = open_timeline(session, self._watch, self._restored, self._hub_port)
                await self._upkeep.first_look()
                self._look_for_room()
                self._apply_config(self._watch.config)
                workers = [
                    tasks.create_task(self._read(self._reader)),
                    tasks.create_task(self._tick()),
                    tasks.create_task(self._upkeep.keep_head()),
                    tasks.create_task(self._upkeep.keep_fence()),
                    tasks.create_task(self._upkeep.keep_space()),
                ]
                overtaken = self._uploader.overtaken
                await _first(self._finished.wait(), overtaken.wait(), terminate.wait())
                for worker in workers:
                    worker.cancel()
        except* OSError as errors:
            self._break_off(errors)
            is_broken = True
        if terminate.is_set():
            return Outcome.TERMINATED
        if is_broken:
            return Outcome.SPOOL_BROKEN
        return Outcome.DONE if self._finished.is_set() else Outcome.OVERTAKEN

    def _break_off(self, error: BaseException) -> None:
        self.spool_fault = SpoolFault.of(error)
        self._cutter.abandon()
        _log.error("spool_broken", reason=self.spool_fault.reason)
        self._publish()  # an attempt may end before its first tick publishes anything

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_ON_TERM_SECONDS):
                await self._uploader.drained()
        except TimeoutError:
            # The chunks stay in the spool, and the next attempt in this pod adopts them.
            _log.warning("chunks_not_stored", pending_bytes=self._uploader.pending_bytes)

    # ------------------------------------------------------------------ tasks

    async def _read(self, reader: TimelineReader) -> None:
        uploader, machine, apply, clock = self._uploader, self._machine, self._apply, self._clock
        async for batch in reader.batches():
            if not uploader.has_room:
                _log.warning("spool_at_its_limit", pending_bytes=uploader.pending_bytes)
                await uploader.room()
                machine.resumed(clock())
            now = clock()
            apply(machine.records(batch, now))
            self._put(self._cutter.tend())
            self._look_for_room()

    async def _tick(self) -> None:
        while True:
            await next_tick()
            if self._watch.look():
                self._apply_config(self._watch.config)
            now = self._clock()
            if not self._uploader.has_room:
                self._machine.resumed(now)  # the recorder itself has stopped reading
            self._apply(self._machine.tick(now))
            self._look_for_room()
            self._put(self._cutter.tend())
            self._publish_news()

    async def _publish_forever(self) -> None:
        while True:
            await next_tick()
            self._publish_news()

    def _publish_news(self) -> None:
        """Publish a new status version when the phase, a file or an error changes. Counters are
        refreshed on each poll."""
        error = self.spool_fault or self._uploader.error
        state = (self._machine.phase, self._machine.transitions, str(error))
        if state != self._last_state:
            self._last_state = state
            self._publish()

    async def _on_durable(self, chunk: ClosedChunk) -> None:
        self._metrics.stored_bytes.inc(chunk.entry.size_bytes)
        self._space.stored(chunk, self._clock())
        durable = self._durable_dts.setdefault(chunk.file.timeline, {})
        for track, span in chunk.entry.tracks.items():
            durable[track] = max(span.last_dts, durable.get(track, span.last_dts))
        if self._reader is None:
            return
        # Acknowledge up to the slowest track. A track that ended long ago does not count.
        newest = max(durable.values())
        held = min(dts for dts in durable.values() if newest - dts < TRACK_SKEW_TICKS)
        await self._reader.acknowledge(chunk.file.timeline, held)

    def _on_unreadable(self, chunk: ClosedChunk) -> None:
        """Note a gap for a chunk that the spool's disk cannot read back."""
        entry = chunk.entry
        seconds = round((entry.end_dts - entry.first_dts) / TICKS_PER_SECOND, 3)
        gap = TimelineGap(dts=entry.end_dts, wall_seconds=seconds)
        file = self._machine.lost(chunk.file.identity, gap)
        _log.error("chunk_lost", chunk=entry.name, seconds=seconds)
        if file is not None and file.end_reason is not None:
            self._uploader.put(FileClosed(file.entry()))

    # ------------------------------------------------------------------ effects

    def _apply_config(self, config: RecorderConfig) -> None:
        now = self._clock()
        self._upkeep.configured()
        self._machine.rules = rules_of(config, self._machine.rules)
        missing = None
        if self._watch.key(HUB_TOKEN_FILE) is None:
            missing = (
                ConfigErrorReason.SECRET_KEY_MISSING,
                "the Secret has no token for the stream's hub yet",
            )
        self._board.configured(config, missing)
        if config.desired_state is DesiredState.STOPPED:
            self._apply(self._machine.stop(now))
        if config.stream is None:
            self._apply(self._machine.stream_gone(now))

    def _apply(self, effects: Iterable[Effect]) -> None:
        transition = False
        for effect in effects:
            match effect:
                case Write(file=file, units=units):
                    self._put(self._cutter.write(file, units))
                case BeginFile(file=file):
                    transition = True
                    _log.info("file_begins", index=file.index, timeline=file.timeline)
                case Changed(file=file, tracks=tracks):
                    transition = True
                    self._put(self._cutter.joint())
                    self._cutter.changed(file, tracks=tracks)
                case EndFile(file=file):
                    transition = True
                    self._put(self._cutter.close())
                    self._uploader.put(FileClosed(file.entry()))
                    self._space.closed(file.identity)
                    _log.info("file_ends", index=file.index, reason=file.end_reason)
                case StopNoted(at=at):
                    self._uploader.put(StopRequested(at))
                case Finish(reason=reason):
                    transition = True
                    self._finish(reason)
        if transition:
            self._metrics.transitions.inc()
            self._publish()

    def _look_for_room(self) -> None:
        full = self._space.is_full(self._unstored_bytes)
        self._apply(self._machine.store_is_full(self._clock(), full=full))

    def _put(self, chunks: list[ClosedChunk]) -> None:
        for chunk in chunks:
            self.spool_fault = None
            self._metrics.chunks.inc()
            self._metrics.written_bytes.inc(chunk.entry.size_bytes)
            self._uploader.put(chunk)

    def _finish(self, reason: str) -> None:
        machine = self._machine
        self._uploader.put(
            Completion(
                end_reason=reason,
                at=self._clock(),
                recording_started_at=machine.started_at,
                duration_seconds=round(machine.duration_seconds, 3),
                files=len(machine.files),
            )
        )
        _log.info("recording_ends", reason=reason, files=len(machine.files))
        self._finished.set()

    # ------------------------------------------------------------------ status

    @property
    def _unstored_bytes(self) -> int:
        return self._uploader.pending_bytes + self._cutter.open_bytes

    def _publish(self, phase: RecorderPhase | None = None) -> None:
        phase = phase or self._machine.phase
        self._metrics.phase(phase)
        error = self.spool_fault or self._uploader.error
        uid = self._watch.config.uid
        self._board.update(
            **recorder_status(self._machine, phase, uid, self._original_uri),
            pending_bytes=self._unstored_bytes,
            store_error=str(error) if error is not None else None,
            store_error_reason=error.reason if error is not None else None,
        )

    def _original_uri(self, file: PlannedFile) -> str | None:
        key = self._playlists.key(file.identity)
        return None if key is None else f"{self._watch.config.uri_base}{key}"


async def _first(*waits: object) -> None:
    """Wait until one of the awaitables is done, and cancel the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
