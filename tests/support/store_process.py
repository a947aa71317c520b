"""The store role in its own process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from sluice_media.contract import StoredResult, StoreStatus
from sluice_media.recording import keys
from tests.support.recorder_rig import ROOT
from tests.support.store_pod import TOKEN, UID, StorePod


class StoreProcess:
    """The store's role as a process, on the folders of a :class:`StorePod`."""

    def __init__(self, pod: StorePod) -> None:
        self._pod = pod
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        settings = self._pod.settings
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "images/media/src"),
            **{
                f"SLUICE_{name.upper()}": str(value)
                for name, value in settings.model_dump().items()
                if name != "pod_uid"
            },
        }
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sluice_media", "store", env=environment
        )

    def kill(self) -> None:
        self.process.kill()

    async def stopped_finaliser(self) -> int:
        """Stop (SIGSTOP) the FFmpeg that is making a file; return its pid."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        async with asyncio.timeout(60):
            while True:
                for pid in map(int, children.read_text().split()):
                    command = Path(f"/proc/{pid}/cmdline").read_bytes()
                    if b"ffmpeg" in command.split(b"\0")[0]:
                        os.kill(pid, signal.SIGSTOP)
                        return pid
                await asyncio.sleep(0.001)

    async def until(
        self, fits: Callable[[StoredResult], bool], seconds: float = 60
    ) -> StoredResult:
        url = f"http://127.0.0.1:{self._pod.store_port}/v1/recordings/{UID}"
        async with asyncio.timeout(seconds), aiohttp.ClientSession(headers=TOKEN) as session:
            while True:
                try:
                    async with session.get(url) as answer:
                        found = StoredResult.model_validate_json(await answer.read())
                    if fits(found):
                        return found
                except (aiohttp.ClientError, ValueError):
                    pass
                await asyncio.sleep(0.05)

    async def done(self) -> None:
        """Wait until the result is Done and the record of the finished files exists."""
        await self.until(lambda result: result.state == "Done", 30)
        async with asyncio.timeout(20):
            while not (self._pod.store_dir / keys.finalized_key(UID)).exists():
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running_store(pod: StorePod) -> AsyncIterator[StoreProcess]:
    store = StoreProcess(pod)
    await store.start()
    try:
        yield store
    finally:
        if store.process.returncode is None:
            store.kill()
        await store.process.wait()


async def status(pod: StorePod, fits: Callable[[StoreStatus], bool]) -> StoreStatus:
    async with asyncio.timeout(40):
        while not fits(found := await pod.status()):
            await asyncio.sleep(0.1)
    return found
