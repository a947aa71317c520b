"""What may happen to the store while it makes an MP4: nothing of it costs a frame."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice_media.recording import keys
from sluice_media.storage.object_store import SCRATCH, open_volume
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.store_pod import PREFIX, UID, StorePod, leave, record
from tests.support.store_process import running_store, status

MIB = 1 << 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clip") / "av.flv", seconds=8, gop=50)


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
