"""What may happen to the store while it makes an MP4: nothing of it costs a frame."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from sluice_media.contract import StoredResult, StoreStatus
from sluice_media.recording import keys
from sluice_media.storage.object_store import SCRATCH, open_volume
from tests.media.media_clips import Clip, frame_hashes, make_clip
from tests.media.recorder_rig import ROOT
from tests.media.test_store import PREFIX, TOKEN, UID, StorePod, leave, record

MIB = 1 << 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clip") / "av.flv", seconds=8, gop=50)


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
        """The pid of the FFmpeg at work, stopped in its tracks."""
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
        """The MP4 is there, and what it was made of is gone."""
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


async def recording(folder: Path, clip: Clip) -> StorePod:
    pod = StorePod(folder)
    entry = record(pod.store_dir / PREFIX / "a", clip, clip.units)
    await leave(open_volume(pod.store_dir), {"a": entry})
    return pod


def assert_whole(pod: StorePod, clip: Clip) -> None:
    mp4 = pod.store_dir / PREFIX / keys.mp4_name(UID, 1)
    assert frame_hashes(mp4) == frame_hashes(clip.path)
    assert frame_hashes(mp4, "a:0") == frame_hashes(clip.path, "a:0")
    assert not list(pod.store_dir.rglob("*.ts"))
    assert not list((pod.store_dir / SCRATCH).glob("*"))


async def test_a_killed_finaliser_is_said_and_tried_again(tmp_path: Path, clip: Clip) -> None:
    pod = await recording(tmp_path, clip)
    async with running_store(pod) as store:
        os.kill(await store.stopped_finaliser(), signal.SIGKILL)
        failed = await store.until(lambda result: result.state == "Failed")
        assert failed.files[0].message is not None
        assert failed.files[0].message.startswith("ffmpeg ")
        assert list(pod.store_dir.rglob("*.ts")), "nothing is deleted"
        await store.done()
    assert_whole(pod, clip)


async def test_a_store_killed_while_finalising_is_resumed_by_the_next(
    tmp_path: Path, clip: Clip
) -> None:
    pod = await recording(tmp_path, clip)
    async with running_store(pod) as store:
        finaliser = await store.stopped_finaliser()
        store.kill()
        # In a pod the kernel ends it with its first process.
        os.kill(finaliser, signal.SIGKILL)
    async with running_store(pod) as store:
        await store.done()
    assert_whole(pod, clip)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "store"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, leave_free: int) -> Path:
    """A file that takes all space but so many bytes."""
    ballast = folder / "ballast"
    stat = os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, stat.f_bavail * stat.f_frsize - leave_free)
    return ballast


async def status(pod: StorePod, fits: Callable[[StoreStatus], bool]) -> StoreStatus:
    async with asyncio.timeout(40):
        while not fits(found := await pod.status()):
            await asyncio.sleep(0.1)
    return found


async def test_too_little_space_for_the_mp4_is_said_and_waited_for(
    tmp_path: Path, small_disk: Path, clip: Clip
) -> None:
    pod = await recording(tmp_path, clip)
    ballast = fill(small_disk, 10 * MIB)
    async with running_store(pod) as store:
        failed = await store.until(lambda result: result.state == "Failed")
        assert re.search(
            r"of free space, and \d+ MiB are free: \d+ MiB are missing", str(failed.message)
        )
        assert (await status(pod, lambda s: s.writable)).available_bytes
        ballast.unlink()
        await store.done()
        assert_whole(pod, clip)


async def test_a_nearly_full_claim_finalises_what_fits(
    tmp_path: Path, small_disk: Path, clip: Clip
) -> None:
    pod = await recording(tmp_path, clip)
    size = sum(path.stat().st_size for path in pod.store_dir.rglob("*.ts"))
    # An MP4 that its maker did not live to note is in the way.
    (pod.store_dir / PREFIX / keys.mp4_name(UID, 1)).write_bytes(bytes(size))
    fill(small_disk, 17 * MIB)
    async with running_store(pod) as store:
        await store.done()
    assert_whole(pod, clip)


async def test_a_disk_without_any_space_is_not_writable_and_costs_nothing(
    tmp_path: Path, small_disk: Path, clip: Clip
) -> None:
    pod = await recording(tmp_path, clip)
    ballast = fill(small_disk, 0)
    async with running_store(pod) as store:
        said = await status(pod, lambda s: s.reason is not None)
        assert (said.writable, said.reason) == (False, "NoSpace")
        await store.until(lambda result: result.state in ("Finalizing", "Failed"))
        assert store.process.returncode is None
        ballast.unlink()
        await store.done()
        assert_whole(pod, clip)


async def test_a_disk_that_fills_up_while_the_mp4_is_written(
    tmp_path: Path, small_disk: Path, clip: Clip
) -> None:
    pod = await recording(tmp_path, clip)
    async with running_store(pod) as store:
        finaliser = await store.stopped_finaliser()
        ballast = fill(small_disk, 128 << 10)
        os.kill(finaliser, signal.SIGCONT)
        failed = await store.until(lambda result: result.state == "Failed")
        assert failed.files[0].message
        assert list(pod.store_dir.rglob("*.ts")), "nothing is deleted"
        ballast.unlink()
        await store.done()
        assert_whole(pod, clip)
