"""Disks that fail in truth, below a real file system: nothing is said to be stored that is not."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from sluice_media.contract import DesiredState, RecorderPhase, RecorderStatus, StoredResult
from sluice_media.recording import keys
from sluice_media.recording.journals import find_journals
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import open_volume
from tests.support.fake_hub import FakeHub, running_hub
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.recorder_rig import RecorderRig, recorder_rig
from tests.support.sick_disk import CannotMountError, SickDisk, fill, sick_disk, small_disk
from tests.support.store_pod import PREFIX, UID, StorePod, leave, record
from tests.support.store_process import running_store, status

MIB = 1 << 20
SPOOL_LIMIT = 300_000
REFUSED = ("NoSpace", "InputOutputError")
"""The bytes of a file find no place, or those of its folder do not."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("clip") / "av.flv"
    return make_clip(path, seconds=30, gop=50, video="320x180")


@cache
def sent_hashes(clip: Clip, stream: str = "v:0") -> list[str]:
    return frame_hashes(clip.path, stream)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SickDisk]:
    try:
        with sick_disk(tmp_path / "disk") as made:
            yield made
    except CannotMountError as error:
        pytest.skip(f"no disk can be made that fails: {error}")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB where a recorder has its spool."""
    try:
        with small_disk(tmp_path / "spool", 8 * MIB) as folder:
            yield folder
    except CannotMountError as error:
        pytest.skip(f"no small disk can be made: {error}")


@asynccontextmanager
async def recording(
    folder: Path, clip: Clip, store: Path | None = None, *, speed: float = 5
) -> AsyncIterator[tuple[RecorderRig, asyncio.Task[None]]]:
    """A recorder at work, and the stream that it is sent."""
    async with (
        running_hub() as hub,
        recorder_rig(folder, hub.port, store=store, spool_limit_bytes=SPOOL_LIMIT) as rig,
    ):
        await rig.start()
        hub.begin(clip.formats, "t1")
        await hub.has_reader()  # else all comes at once, and is recorded before anything fails
        yield rig, asyncio.create_task(_play(hub, clip, speed))


async def _play(hub: FakeHub, clip: Clip, speed: float) -> None:
    await hub.play(clip.units, speed=speed)


async def stop(rig: RecorderRig) -> None:
    await asyncio.sleep(0.6)
    rig.configure(desired_state=DesiredState.STOPPED)
    assert await rig.exit_code() == 0


async def assert_stored(rig: RecorderRig) -> int:
    """Whatever the journals name is in the store as it was recorded; returns how much that is."""
    prefix, count = rig.config.prefix, 0
    for journal in (await find_journals(open_volume(rig.store_dir), prefix)).journals:
        for entry in (chunk for file in journal.files for chunk in file.chunks):
            data = (
                rig.store_dir / keys.chunk_key(prefix, journal.attempt, entry.name)
            ).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry.sha256
            count += 1
    return count


def assert_whole(rig: RecorderRig, result: StoredResult, clip: Clip) -> None:
    (file,) = result.files
    assert file.gaps == []
    assert hashlib.sha256(rig.mp4().read_bytes()).hexdigest() == file.sha256
    for stream in ("v:0", "a:0"):
        assert frame_hashes(rig.mp4(), stream) == sent_hashes(clip, stream)


async def test_an_object_whose_replacement_fails_is_there_as_it_was(disk: SickDisk) -> None:
    storage = open_volume(disk.folder)
    await storage.put("journal.json", b"old")
    disk.write_back()
    disk.cut_off()
    with pytest.raises(StorageError) as refused:
        await storage.put("journal.json", b"new" * MIB)
    assert refused.value.reason == "InputOutputError"
    with pytest.raises(StorageError, match="input/output error"):
        await storage.put("journal-000002.json", b"x")
    disk.recover()
    disk.mount_again()
    assert [entry.key async for entry in storage.list() if "journal" in entry.key] == [
        "journal.json"
    ]
    assert await storage.get("journal.json") == b"old"
    await storage.put("journal.json", b"new" * MIB)
    disk.mount_again()
    assert await storage.get("journal.json") == b"new" * MIB


async def test_a_recording_goes_on_while_its_stores_disk_fails_and_catches_up(
    tmp_path: Path, disk: SickDisk, clip: Clip
) -> None:
    async with recording(tmp_path, clip, disk.folder) as (rig, playing):
        await rig.recorded(8)
        disk.run_out()
        await rig.until(lambda s: s.store_error_reason in REFUSED)
        await rig.until(lambda s: s.pending_bytes >= SPOOL_LIMIT)
        await playing
        said = await rig.status()
        assert said.phase is RecorderPhase.RECORDING
        assert said.store_error_reason in REFUSED
        assert said.recording_duration < 29, "the hub's ring has the rest"
        disk.recover()
        await rig.until(lambda s: s.recording_duration > 29.9 and s.store_error is None, 30)
        await stop(rig)
        disk.mount_again()
        assert await assert_stored(rig) > 4
        result = await rig.finished()
        disk.mount_again()
        assert_whole(rig, result, clip)


async def test_a_recorder_that_dies_while_the_stores_disk_fails_has_named_nothing_that_is_lost(
    tmp_path: Path, disk: SickDisk, clip: Clip
) -> None:
    async with recording(tmp_path, clip, disk.folder) as (rig, playing):
        await rig.recorded(14)
        named = await assert_stored(rig)
        disk.run_out()
        await rig.until(lambda s: s.store_error_reason in REFUSED)
        await asyncio.sleep(2)
        rig.kill()
        await rig.exit_code()
        disk.recover()
        disk.mount_again()
        assert await assert_stored(rig) >= named > 0
        await rig.start()
        await playing
        await rig.until(lambda s: s.recording_duration > 29.9 and s.store_error is None, 30)
        await stop(rig)
        result = await rig.finished()
        disk.mount_again()
        assert_whole(rig, result, clip)


async def test_what_a_failing_spool_gives_back_is_not_taken_for_what_was_recorded(
    tmp_path: Path, disk: SickDisk, clip: Clip
) -> None:
    (tmp_path / "spool").symlink_to(disk.folder)
    async with recording(tmp_path, clip, speed=3) as (rig, playing):
        await rig.recorded(8)
        away = tmp_path / "away"
        rig.store_dir.rename(away)
        rig.store_dir.write_text("no folder")
        disk.run_out()
        # The first pending chunk may have reached the disk before it ran out.
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(loses_chunks, disk):
                await asyncio.sleep(0.2)
        disk.recover()
        rig.store_dir.unlink()
        away.rename(rig.store_dir)
        await playing
        await rig.until(lambda s: with_gaps(s) > 29.9 and s.store_error is None, 40)
        await stop(rig)
        assert await assert_stored(rig) > 3
        result = await rig.finished()
    (file,) = result.files
    assert file.state == "Ready"
    lost = sum(gap.wall_seconds for gap in file.gaps)
    found = frame_hashes(rig.mp4())
    assert 0 < lost < 20, "the hole is said"
    assert set(found) <= set(sent_hashes(clip))
    assert len(found) == pytest.approx(25 * (30 - lost), abs=60)


def with_gaps(status: RecorderStatus) -> float:
    """Return the seconds from the start to the end. A lost chunk is not part of the duration."""
    gaps = [gap.wall_seconds for file in status.files for gap in file.gaps]
    return status.recording_duration + sum(gaps)


def loses_chunks(disk: SickDisk) -> bool:
    """Make the kernel write its pages of chunks, which fails, and drop them. Return whether a
    chunk reads differently after that."""
    before = {path: path.read_bytes() for path in disk.folder.rglob("*.ts")}
    with suppress(CannotMountError):  # sync reports the failure
        disk.write_back()
    for path in before:
        number = os.open(path, os.O_RDONLY)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(number)
    return any(path.read_bytes() != content for path, content in before.items())


async def test_a_full_disk_of_the_recorder_is_said_and_waited_for(
    tmp_path: Path, tiny: Path, clip: Clip
) -> None:
    async with recording(tmp_path, clip) as (rig, playing):
        await rig.recorded(8)
        async with asyncio.timeout(60):
            # What was stored meanwhile has made room again.
            while (said := await rig.status()).store_error_reason != "SpoolNoSpace":
                ballast = fill(tiny)
                await asyncio.sleep(0.02)
        assert said.store_error == "the recorder's own disk is full"
        await asyncio.sleep(2)
        ballast.unlink()
        await playing
        await rig.until(lambda s: s.recording_duration > 29.9 and s.store_error is None, 30)
        assert rig.process is not None
        assert rig.process.returncode is None, "the process stays, to say what is wrong"
        await stop(rig)
        assert await assert_stored(rig) > 4
        assert_whole(rig, await rig.finished(), clip)


async def test_a_claim_that_somebody_else_fills_up_ends_a_recording_with_a_whole_file(
    tmp_path: Path, disk: SickDisk, clip: Clip
) -> None:
    async with recording(tmp_path, clip, disk.folder, speed=2) as (rig, playing):
        await rig.recorded(8)
        ballast = fill(disk.folder)
        said = await rig.until(
            lambda s: s.store_error_reason == "NoSpace" and s.files[0].end_reason is not None
        )
        assert said.store_error == "no space is left in the store"
        assert said.phase is not RecorderPhase.DONE, "what it has is not in the store yet"
        ballast.unlink()
        said = await rig.until(lambda s: s.phase is RecorderPhase.DONE)
        playing.cancel()
        assert said.end_reason == "StorageLimit"
        assert await rig.exit_code() == 0
        disk.mount_again()
        assert await assert_stored(rig) > 1
        result = await rig.finished()
        disk.mount_again()
        found = frame_hashes(rig.mp4())
    (file,) = result.files
    assert (file.state, file.end_reason, file.gaps) == ("Ready", "StorageLimit", [])
    assert 8 * 25 <= len(found) < 30 * 25
    assert found[:-3] == sent_hashes(clip)[: len(found) - 3]


async def test_a_disk_that_fails_while_the_mp4_is_written_costs_no_chunk(
    tmp_path: Path, disk: SickDisk, clip: Clip
) -> None:
    pod = StorePod(tmp_path)
    pod.settings = pod.settings.model_copy(update={"store_dir": disk.folder})
    pod.store_dir = disk.folder
    entry = record(disk.folder / PREFIX / "a", clip, clip.units)
    await leave(open_volume(disk.folder), {"a": entry})
    disk.write_back()
    disk.run_out()
    async with running_store(pod) as store:
        said = await status(pod, lambda s: s.reason is not None)
        assert not said.writable
        assert said.reason in REFUSED
        assert len(list(disk.folder.rglob("*.ts"))) == len(entry.chunks), "nothing is deleted"
        disk.recover()
        await store.done()
    disk.mount_again()
    mp4 = disk.folder / PREFIX / keys.mp4_name(UID, 1)
    for stream in ("v:0", "a:0"):
        assert frame_hashes(mp4, stream) == sent_hashes(clip, stream)
    assert not list(disk.folder.rglob("*.ts"))
