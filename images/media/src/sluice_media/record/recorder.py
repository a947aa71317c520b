"""The recorder at work: timeline in, chunks into the store, and a status for whoever asks.

All decisions are :class:`~sluice_media.record.machine.RecorderMachine`'s; here its effects are
carried out. Effects touch only the local spool and are carried out without awaiting, so that the
machine and the files never disagree; what needs the network is the uploader's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import structlog

from sluice_media.config import ConfigWatch
from sluice_media.contract import (
    HUB_TOKEN_FILE,
    DesiredState,
    RecordedFile,
    RecorderConfig,
    RecorderPhase,
    RecorderStatus,
)
from sluice_media.record.chunks import ChunkCutter, ClosedChunk
from sluice_media.record.journal import Completion, Journal, RecordingHead, recording_head
from sluice_media.record.machine import (
    BeginFile,
    Changed,
    Effect,
    EndFile,
    Finish,
    RecorderMachine,
    Rules,
    StopNoted,
    Write,
)
from sluice_media.record.metrics import RecordMetrics
from sluice_media.record.plan import PlannedFile, restore
from sluice_media.record.recover import Recovered
from sluice_media.record.uploader import FileClosed, StopRequested, Uploader
from sluice_media.status import StatusBoard
from sluice_media.store.keys import head_key, mp4_name
from sluice_media.store.target import Target, TargetError
from sluice_media.timeline.reader import Position, TimelineReader
from sluice_media.units import TICKS_PER_SECOND

__all__ = ["TICKING", "Recorder"]

TICKING = frozenset({"recording_duration", "current_file_duration", "files", "pending_bytes"})
"""Status fields that change all the time; ``transitions`` tells when a file did."""

SPOOL_LIMIT_BYTES = 1 << 30
TICK_SECONDS = 0.2
FLUSH_ON_TERM_SECONDS = 15.0
_TRACK_SKEW_TICKS = 2 * TICKS_PER_SECOND

_log = structlog.get_logger(__name__)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Recorder:
    """One attempt at one Recording."""

    def __init__(
        self,
        *,
        watch: ConfigWatch[RecorderConfig],
        board: StatusBoard[RecorderStatus],
        target: Target,
        spool: Path,
        attempt: str,
        recovered: Recovered,
        hub_port: int,
        metrics: RecordMetrics | None = None,
        spool_limit_bytes: int = SPOOL_LIMIT_BYTES,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        config = watch.config
        self._watch = watch
        self._board = board
        self._target = target
        self._clock = clock
        self._hub_port = hub_port
        self._head: RecordingHead | None = recovered.head
        self._restored = restore(recovered.merged, recovered.stop_requested_at)
        self._machine = RecorderMachine(_rules(config), self._restored, clock())
        self._cutter = ChunkCutter(spool / attempt, len(recovered.adopted) + 1)
        self._uploader = Uploader(
            target,
            config.prefix,
            Journal(attempt=attempt, recording_uid=config.uid, started_at=clock()),
            spool_limit_bytes=spool_limit_bytes,
            on_durable=self._on_durable,
            on_refused=lambda error: self._metrics.store_errors.labels(error.reason).inc(),
        )
        self._uploader.put(*recovered.adopted)
        self._uploader.put(*(FileClosed(file.entry()) for file in self._restored.unclosed))
        self._metrics = metrics or RecordMetrics()
        self._add_gauges()
        self._durable_dts: dict[str, dict[int, int]] = {}
        self._finished = asyncio.Event()
        self._reader: TimelineReader | None = None

    def _add_gauges(self) -> None:
        gauge = self._metrics.gauge
        machine, uploader, cutter = self._machine, self._uploader, self._cutter
        gauge("duration_seconds", "Media time in all files.", lambda: machine.duration_seconds)
        gauge("pending_bytes", "Bytes of closed chunks not stored.", lambda: uploader.pending_bytes)
        gauge("pending_chunks", "Closed chunks not stored.", lambda: uploader.pending_chunks)
        gauge("unusable_units", "Units that were no media.", lambda: cutter.unusable_units)

    async def run(self, terminate: asyncio.Event) -> bool:
        """Records until the Recording is over (True) or ``terminate`` is set (False).

        Raises OSError when the spool cannot be written."""
        # The uploader has a group of its own: it must outlive the tasks that feed it.
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as outer:
            upload = outer.create_task(self._uploader.run())
            await self._record(session, terminate)
            self._put(self._cutter.close())
            done = self._finished.is_set() and not terminate.is_set()
            if done:
                done = await self._first(self._uploader.completed.wait(), terminate.wait())
            if not done:
                await self._flush()
            upload.cancel()
        if done:
            self._publish(RecorderPhase.DONE)
        return done

    async def _record(self, session: aiohttp.ClientSession, terminate: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._reader = self._make_reader(session)
            self._apply_config(self._watch.config)
            workers = [
                tasks.create_task(self._read(self._reader)),
                tasks.create_task(self._follow_config()),
                tasks.create_task(self._tick()),
                tasks.create_task(self._keep_head()),
            ]
            await self._first(self._finished.wait(), terminate.wait())
            for worker in workers:
                worker.cancel()

    async def _first(self, *waits: object) -> bool:
        """Waits for any; True when the first of them is over."""
        tasks = [asyncio.ensure_future(wait) for wait in waits]  # type: ignore[call-overload]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return bool(tasks[0].done())
        finally:
            for task in tasks:
                task.cancel()

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_ON_TERM_SECONDS):
                await self._uploader.drained()
        except TimeoutError:
            # They stay in the spool; another attempt in this pod adopts them.
            _log.warning("chunks_not_stored", pending_bytes=self._uploader.pending_bytes)

    # ------------------------------------------------------------------ tasks

    async def _read(self, reader: TimelineReader) -> None:
        async for record in reader.records():
            await self._uploader.room()
            self._apply(self._machine.record(record, self._clock()))

    async def _follow_config(self) -> None:
        async for config in self._watch.changes():
            self._apply_config(config)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = self._clock()
            self._apply(self._machine.tick(now))
            self._put(self._cutter.flush(now))
            self._publish()

    async def _keep_head(self) -> None:
        """Keeps ``recording.json`` as the configuration has it."""
        while True:
            head = recording_head(self._watch.config, self._head)
            if head != self._head:
                key = head_key(self._watch.config.prefix)
                try:
                    await self._target.put(key, head.to_json().encode())
                    self._head = head
                except TargetError as error:
                    _log.warning("head_not_stored", reason=error.reason)
            await asyncio.sleep(1.0)

    async def _on_durable(self, chunk: ClosedChunk) -> None:
        self._metrics.stored_bytes.inc(chunk.entry.size_bytes)
        durable = self._durable_dts.setdefault(chunk.file.timeline, {})
        for track, span in chunk.entry.tracks.items():
            durable[track] = max(span.last_dts, durable.get(track, span.last_dts))
        position = self._reader.position if self._reader is not None else None
        if position is None or position.timeline != chunk.file.timeline:
            return
        # Everything up to the slowest track; one that has ended long ago does not count.
        newest = max(durable.values())
        held = min(dts for dts in durable.values() if newest - dts < _TRACK_SKEW_TICKS)
        assert self._reader is not None
        await self._reader.acknowledge(held)

    # ------------------------------------------------------------------ effects

    def _apply_config(self, config: RecorderConfig) -> None:
        now = self._clock()
        self._machine.rules = _rules(config, self._machine.rules)
        missing = None
        if self._watch.key(HUB_TOKEN_FILE) is None:
            missing = ("SecretKeyMissing", "the token for the stream's hub is not there yet")
        self._board.configured(config, missing)
        if config.desired_state is DesiredState.STOPPED:
            self._apply(self._machine.stop(now))
        if config.stream is None:
            self._apply(self._machine.stream_gone(now))

    def _apply(self, effects: Iterable[Effect]) -> None:
        transition = False
        for effect in effects:
            match effect:
                case Write(file=file, unit=unit):
                    self._put(self._cutter.write(file, unit, self._clock()))
                case BeginFile(file=file):
                    transition = True
                    _log.info("file_begins", index=file.index, timeline=file.timeline)
                case Changed(file=file, tracks=tracks):
                    transition = True
                    self._cutter.changed(file, tracks=tracks)
                case EndFile(file=file):
                    transition = True
                    self._put(self._cutter.close())
                    self._uploader.put(FileClosed(file.entry()))
                    _log.info("file_ends", index=file.index, reason=file.end_reason)
                case StopNoted(at=at):
                    self._uploader.put(StopRequested(at))
                case Finish(reason=reason):
                    transition = True
                    self._finish(reason)
        if transition:
            self._metrics.transitions.inc()
            self._publish()

    def _put(self, chunks: list[ClosedChunk]) -> None:
        for chunk in chunks:
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

    def _make_reader(self, session: aiohttp.ClientSession) -> TimelineReader:
        since, start = self._watch.config.created_at, None
        if (file := self._restored.open_file) is not None:
            start = Position(file.timeline, dict(file.last_dts))
        elif self._restored.files:
            since = self._restored.files[-1].ended_at or since
        return TimelineReader(
            session,
            url=self._hub_url,
            token=lambda: self._watch.key(HUB_TOKEN_FILE),
            reader=self._watch.config.uid,
            role="recorder",
            since=since,
            start=start,
        )

    def _hub_url(self) -> str:
        stream = self._watch.config.stream
        host = stream.host if stream is not None else "localhost"
        return f"http://{host}:{self._hub_port}"

    # ------------------------------------------------------------------ status

    def _publish(self, phase: RecorderPhase | None = None) -> None:
        machine = self._machine
        current = machine.current
        error = self._uploader.error
        phase = phase or machine.phase
        self._metrics.phase(phase)
        self._board.update(
            phase=phase,
            end_reason=machine.finished if phase is RecorderPhase.DONE else None,
            recording_started_at=machine.started_at,
            recording_duration=round(machine.duration_seconds, 3),
            current_file_duration=round(current.duration_seconds, 3) if current else 0.0,
            transitions=machine.transitions,
            files=[self._recorded(file, phase) for file in machine.files],
            pending_bytes=self._uploader.pending_bytes + self._cutter.open_bytes,
            store_error=str(error) if error is not None else None,
        )

    def _recorded(self, file: PlannedFile, phase: RecorderPhase) -> RecordedFile:
        return RecordedFile(
            index=file.index,
            name=mp4_name(self._watch.config.uid, file.index),
            state=_state(file, phase, self._machine.finished),
            started_at=file.started_at,
            ended_at=file.ended_at,
            duration_seconds=round(file.duration_seconds, 3),
            gaps=[g.public() for g in file.gaps],
            end_reason=file.end_reason,
        )


def _state(file: PlannedFile, phase: RecorderPhase, finished: str | None) -> str:
    if finished == "TooShort":
        return "Discarded"
    if file.end_reason is not None:
        return "Finalizing"
    return "Interrupted" if phase is RecorderPhase.INTERRUPTED else "Recording"


def _rules(config: RecorderConfig, before: Rules | None = None) -> Rules:
    stream = config.stream
    window = stream.resume_window_seconds if stream else 0
    return Rules(
        created_at=config.created_at,
        stream_uid=stream.uid if stream else (before.stream_uid if before else ""),
        minimum_seconds=config.minimum_seconds,
        rearm_seconds=config.rearm_seconds,
        resume_window_seconds=window,
    )
