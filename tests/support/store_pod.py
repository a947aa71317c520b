"""A store pod in this process, and a recording in its folder."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from sluice_media.contract import StoreConfig, StoredResult, StoreStatus
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.pod.settings import PodSettings
from sluice_media.record.chunks import ChunkCutter, ClosedChunk
from sluice_media.record.plan import PlannedFile
from sluice_media.recording import keys
from sluice_media.recording.journal import Completion, FileEntry, Journal, RecordingHead
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.role import StoreRole
from sluice_media.timeline.framing import track_infos
from tests.support.media_clips import Clip
from tests.support.recorder_rig import samples

UID = "rec-uid-1"

PREFIX = f"recordings/{UID}"

START = datetime(2026, 5, 1, 12, tzinfo=UTC)

TOKEN = {"Authorization": "Bearer hub-token"}


def record(
    folder: Path,
    clip: Clip,
    units: Sequence[AccessUnit],
    first_formats: Sequence[TrackFormat] | None = None,
) -> FileEntry:
    """Record these units as one attempt. ``first_formats`` are the tracks that are known at the
    beginning. The first unit of another track makes all tracks of the clip known."""
    folder.mkdir(parents=True)
    known = track_infos(first_formats or clip.formats)
    file = PlannedFile(1, "t1", clip.units[0].dts, START, START, known)
    cutter = ChunkCutter(folder)
    closed: list[ClosedChunk] = []
    for unit in units:
        if unit.track not in {info.track for info in file.tracks}:
            file.tracks = track_infos(clip.formats)
            cutter.changed(file, tracks=True)
        stamped = replace(unit, utc_us=round(START.timestamp() * 1e6) + unit.dts * 100 // 9)
        file.take(stamped)
        closed += cutter.write(file, [stamped])
    closed += cutter.close()
    for chunk in closed:
        chunk.path.with_suffix(".idx").unlink()
    return file.entry().model_copy(update={"chunks": [chunk.entry for chunk in closed]})


async def leave(storage: ObjectStore, attempts: dict[str, FileEntry], *, done: bool = True) -> None:
    for number, (attempt, file) in enumerate(attempts.items()):
        journal = Journal(
            attempt=attempt,
            recording_uid=UID,
            started_at=START + timedelta(seconds=number),
            files=[file],
        )
        await storage.put(keys.journal_key(PREFIX, attempt), journal.to_json().encode())
    head = RecordingHead(
        uid=UID,
        name="rec",
        namespace="default",
        stream_title="Größe & mehr",
        created_at=START,
        minimum_seconds=10,
        rearm_seconds=0,
        desired_state="Recording",
    )
    await storage.put(keys.head_key(PREFIX), head.to_json().encode())
    if done:
        completion = Completion(end_reason="StreamEnded", at=START)
        await storage.put(keys.done_key(PREFIX), completion.to_json().encode())


def quiet_port() -> int:
    """Return a free port below the kernel's range for outgoing connections, because the store makes
    many of these before it listens."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port


class StorePod:
    def __init__(self, folder: Path) -> None:
        self.store_dir = folder / "store"
        self.status_port, self.store_port = quiet_port(), quiet_port()
        (folder / "keys/hub").mkdir(parents=True)
        (folder / "keys/hub/token").write_text("hub-token")
        config = StoreConfig(namespace="default", name="default", uid="u", uri_base="pvc://c/")
        (folder / "config.json").write_text(config.to_json())
        self.settings = PodSettings(
            pod_uid="pod-1",
            config_file=folder / "config.json",
            keys_dir=folder / "keys",
            store_dir=self.store_dir,
            bind="127.0.0.1",
            status_port=self.status_port,
            store_port=self.store_port,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[aiohttp.ClientSession]:
        terminate = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(StoreRole(self.settings).run(terminate))
            url = f"http://127.0.0.1:{self.store_port}"
            async with aiohttp.ClientSession(url, headers=TOKEN) as session:
                await self.status()
                await self._answers(session)
                yield session
            terminate.set()

    @staticmethod
    async def _answers(session: aiohttp.ClientSession) -> None:
        async with asyncio.timeout(40):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get("/v1/recordings/nobody"):
                        return
                await asyncio.sleep(0.02)

    async def status(self) -> StoreStatus:
        url = f"http://127.0.0.1:{self.status_port}/v1/status"
        async with asyncio.timeout(40), aiohttp.ClientSession(headers=TOKEN) as session:
            while True:
                try:
                    async with session.get(url) as answer:
                        return StoreStatus.model_validate_json(await answer.read())
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    async def metrics(self) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.status_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return samples(await answer.text())


async def result(session: aiohttp.ClientSession, state: str) -> StoredResult:
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"/v1/recordings/{UID}") as answer:
                found = StoredResult.model_validate_json(await answer.read())
            if found.state == state:
                return found
            await asyncio.sleep(0.05)
