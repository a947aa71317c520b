"""A recorder in its own process, on folders of the test, and a store that finishes its files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from sluice_media.contract import RecorderConfig, RecorderStatus, StoredResult, StreamRef
from sluice_media.storage.object_store import open_volume
from sluice_media.store.catalog import load_finalized, load_view
from sluice_media.store.worker import Finisher
from tests.support.fake_hub import TOKEN
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
UID = "0c7f2f0e-1111-4222-8333-444455556666"

_WORKER = ("-m", "sluice_media.record.worker")
_SUPERVISED = ("-m", "sluice_media", "record")


def samples(exposition: str) -> dict[str, float]:
    """Return the values of ``/metrics`` by name and labels."""
    lines = (line.rsplit(" ", 1) for line in exposition.splitlines() if line[:1] != "#")
    return {name: float(value) for name, value in lines}


@dataclass
class RecorderRig:
    folder: Path
    hub_port: int
    status_port: int
    config: RecorderConfig
    process: asyncio.subprocess.Process | None = None
    token: str = TOKEN
    store: Path | None = None
    """Folder of another store; None: its own."""

    @property
    def store_dir(self) -> Path:
        return self.store or self.folder / "store"

    def configure(self, **changes: object) -> None:
        self.config = self.config.model_copy(update=changes)
        fresh = self.folder / "config.new"
        fresh.write_text(self.config.to_json())
        fresh.rename(self.folder / "config.json")

    async def start(self, *, supervised: bool = False) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "images/media/src"),
            "SLUICE_CONFIG_FILE": str(self.folder / "config.json"),
            "SLUICE_KEYS_DIR": str(self.folder / "keys"),
            "SLUICE_SPOOL_DIR": str(self.folder / "spool"),
            "SLUICE_STORE_DIR": str(self.store_dir),
            "SLUICE_BIND": "127.0.0.1",
            "SLUICE_HUB_PORT": str(self.hub_port),
            "SLUICE_STATUS_PORT": str(self.status_port),
            "SLUICE_LOG_FORMAT": "text",
        }
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *(_SUPERVISED if supervised else _WORKER), env=environment
        )

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @staticmethod
    def kill_process(pid: int) -> None:
        """Send SIGKILL, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def children(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    async def exit_code(self, seconds: float = 60) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), seconds)

    async def status(self) -> RecorderStatus:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://127.0.0.1:{self.status_port}/v1/status"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            return RecorderStatus.model_validate_json(await answer.read())

    async def metrics(self) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.status_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return samples(await answer.text())

    async def until(
        self, fits: Callable[[RecorderStatus], bool], seconds: float = 60
    ) -> RecorderStatus:
        last: RecorderStatus | None = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        last = await self.status()
                        if fits(last):
                            return last
                    except aiohttp.ClientError:
                        pass
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"never came: last status {last}") from None

    async def recorded(self, seconds: float) -> RecorderStatus:
        """Wait until ``seconds`` are recorded."""
        return await self.until(lambda status: status.recording_duration > seconds)

    async def finished(self, seconds: float = 90) -> StoredResult:
        """Let the store's worker make the files; return the final result."""
        storage = open_volume(self.store_dir)
        finisher = Finisher(
            storage,
            self.store_dir / ".scratch",
            uri_base=lambda: "pvc://claim/",
            on_change=lambda uid: None,
            on_busy=lambda uid: None,
        )
        task = asyncio.create_task(finisher.run())
        try:
            async with asyncio.timeout(seconds):
                while (result := await load_finalized(storage, self.config.uid)) is None:
                    await asyncio.sleep(0.05)
                return result
        except TimeoutError:
            view = await load_view(storage, self.config.uid)
            raise AssertionError(f"not finished: {view.result()}") from None
        finally:
            task.cancel()

    def playlists(self, index: int = 1) -> list[Path]:
        """Return the playlists of all attempts, oldest first."""
        found = (self.store_dir / self.config.prefix).glob(f"*/{index:03d}.m3u8")
        return sorted(found, key=lambda path: path.stat().st_mtime_ns)

    def mp4(self, index: int = 1) -> Path:
        return self.store_dir / self.config.prefix / f"{self.config.uid}-{index:03d}.mp4"


@asynccontextmanager
async def recorder_rig(
    folder: Path,
    hub_port: int,
    *,
    token: str = TOKEN,
    store: Path | None = None,
    **config: object,
) -> AsyncIterator[RecorderRig]:
    (folder / "keys/hub").mkdir(parents=True)
    (folder / "keys/hub/token").write_text(token)
    stream = StreamRef(
        name="news", uid="stream-1", title="News at 9", host="localhost", resume_window_seconds=1
    )
    rig = RecorderRig(
        folder,
        hub_port,
        free_port(),
        RecorderConfig.model_validate(
            {
                "namespace": "default",
                "name": "rec",
                "uid": UID,
                "stream": stream,
                "created_at": datetime.now(UTC),
                "prefix": f"recordings/{UID}",
                "minimum_seconds": 1,
                **config,
            }
        ),
        token=token,
        store=store,
    )
    rig.configure()
    try:
        yield rig
    finally:
        if rig.process is not None and rig.process.returncode is None:
            rig.process.kill()
            await rig.process.wait()
