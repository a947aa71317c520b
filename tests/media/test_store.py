"""The store's pod at work on real media: overlapping attempts, its ports, and what it says."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from sluice_media.contract import StoredRecording, StoredResult
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.recording.journal import FileEntry
from sluice_media.storage.object_store import SCRATCH, open_volume
from sluice_media.store.catalog import load_view
from sluice_media.store.role import StoreRole
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.store_pod import (
    PREFIX,
    UID,
    StorePod,
    leave,
    record,
    result,
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clip") / "av.flv", seconds=20, gop=50)


async def test_two_recorders_that_overlapped_give_one_file_with_every_frame_once(
    tmp_path: Path, clip: Clip
) -> None:
    pod = StorePod(tmp_path)
    folder = pod.store_dir / PREFIX
    at = len(clip.units)
    await leave(
        open_volume(pod.store_dir),
        {
            "lost-node": record(folder / "lost-node", clip, clip.units[: at * 6 // 10]),
            "successor": record(folder / "successor", clip, clip.units[at * 2 // 10 :]),
        },
    )
    view = await load_view(open_volume(pod.store_dir), UID)
    assert any(chunk.skip_through for chunk in view.files[0].chunks), "a chunk had to be trimmed"
    async with pod.running() as session:
        found = await result(session, "Done")
    (file,) = found.files
    mp4 = pod.store_dir / PREFIX / file.name
    assert frame_hashes(mp4) == frame_hashes(clip.path)
    assert frame_hashes(mp4, "a:0") == frame_hashes(clip.path, "a:0")


async def test_a_vanished_recorders_file_is_made_told_counted_and_handed_out(
    tmp_path: Path, clip: Clip
) -> None:
    pod = StorePod(tmp_path)
    entry = record(pod.store_dir / PREFIX / "a", clip, clip.units)
    await leave(open_volume(pod.store_dir), {"a": entry}, done=False)
    async with pod.running() as session:
        assert (await result(session, "Open")).files[0].state == "Recording"
        before = await pod.status()
        told = StoredRecording(uid=UID, name="rec", prefix=PREFIX, recorder_gone=True)
        async with session.put(f"/v1/recordings/{UID}", data=told.to_json()) as answer:
            assert answer.status == 200
        (file,) = (await result(session, "Done")).files
        url = f"/v1/recordings/{UID}/files/{file.name}"
        async with session.get(url) as answer:
            content = await answer.read()
        async with session.get(url, headers={"Range": "bytes=1000-1999"}) as answer:
            assert await answer.read() == content[1000:2000]
        async with asyncio.timeout(40):
            while (after := await pod.status()).finalizing is not None or not after.used_bytes:
                await asyncio.sleep(0.05)
        metrics = await pod.metrics()
    assert hashlib.sha256(content).hexdigest() == file.sha256
    assert len(content) == file.size_bytes
    assert file.title == "Stream Record: Größe & mehr, 2026-05-01 12:00:20 UTC"
    assert abs(file.duration_seconds - 20) < 0.1
    assert file.uri == f"pvc://c/{PREFIX}/{file.name}"
    assert (after.writable, after.finalizing) == (True, None)
    assert after.version >= after.changed[UID] > before.version
    assert after.used_bytes > 0
    assert after.available_bytes
    assert metrics["sluice_store_finalize_seconds_count"] == 1
    assert metrics["sluice_store_finalized_bytes_total"] == len(content)
    assert metrics["sluice_store_writable"] == 1
    assert metrics["sluice_store_used_bytes"] > 0


def with_second_sound(clip: Clip, other: Clip) -> Clip:
    """The clip with the sound of another one as a second audio track."""
    (sound,) = other.formats
    units = [*clip.units, *(replace(unit, track=2) for unit in other.units)]
    units.sort(key=lambda unit: unit.dts)
    return Clip(clip.path, (*clip.formats, replace(sound, track=2)), tuple(units))


@pytest.mark.parametrize("overlap", [False, True])
async def test_every_audio_track_is_in_the_mp4(tmp_path: Path, clip: Clip, overlap: bool) -> None:
    other = make_clip(tmp_path / "sound.flv", seconds=20, video=None, audio_hz=44_100)
    whole = with_second_sound(clip, other)
    pod = StorePod(tmp_path)
    folder = pod.store_dir / PREFIX
    at = len(whole.units) // 2 if overlap else len(whole.units)
    attempts = {"a": record(folder / "a", whole, whole.units[:at])}
    if overlap:
        attempts["b"] = record(folder / "b", whole, whole.units[at // 2 :])
    await leave(open_volume(pod.store_dir), attempts)
    async with pod.running() as session:
        (file,) = (await result(session, "Done")).files
    mp4 = folder / file.name
    assert frame_hashes(mp4) == frame_hashes(clip.path)
    assert frame_hashes(mp4, "a:0") == frame_hashes(clip.path, "a:0")
    assert frame_hashes(mp4, "a:1") == frame_hashes(other.path, "a:0")


@pytest.mark.parametrize("late_seconds", [0.05, 3])
async def test_a_first_sound_that_begins_after_the_second_one_is_a_track_of_its_own(
    tmp_path: Path, clip: Clip, late_seconds: float
) -> None:
    other = make_clip(tmp_path / "sound.flv", seconds=20, video=None, audio_hz=44_100)
    whole = with_second_sound(clip, other)
    begin = whole.units[0].dts + late_seconds * TICKS_PER_SECOND
    units = [unit for unit in whole.units if unit.track != 1 or unit.dts >= begin]
    picture, _, second = whole.formats
    pod = StorePod(tmp_path)
    folder = pod.store_dir / PREFIX
    entry = record(folder / "a", whole, units, (picture, second))
    await leave(open_volume(pod.store_dir), {"a": entry})
    async with pod.running() as session:
        (file,) = (await result(session, "Done")).files
    mp4 = folder / file.name
    assert frame_hashes(mp4) == frame_hashes(clip.path)
    for track, stream in ((1, "a:0"), (2, "a:1")):
        sent = [hashlib.md5(unit.payload).hexdigest() for unit in units if unit.track == track]
        assert frame_hashes(mp4, stream, "-c", "copy") == sent


async def test_a_unit_of_two_pictures_is_two_samples(tmp_path: Path) -> None:
    """As where a source sends the two fields of an interlaced picture as one access unit."""
    single = make_clip(tmp_path / "one.flv", seconds=8, gop=50, audio_hz=None, x264="bframes=0")
    pairs = zip(single.units[::2], single.units[1::2], strict=True)
    doubled = tuple(replace(a, payload=a.payload + b.payload) for a, b in pairs)
    clip = Clip(single.path, single.formats, doubled)
    pod = StorePod(tmp_path)
    folder = pod.store_dir / PREFIX
    await leave(open_volume(pod.store_dir), {"a": record(folder / "a", clip, clip.units)})
    async with pod.running() as session:
        (file,) = (await result(session, "Done")).files
    assert frame_hashes(folder / file.name) == frame_hashes(single.path)


async def failed(tmp_path: Path, entry: FileEntry) -> StoredResult:
    """Lets a store fail at the file of one attempt."""
    pod = StorePod(tmp_path)
    await leave(open_volume(pod.store_dir), {"a": entry})
    async with pod.running() as session:
        found = await result(session, "Failed")
    assert list((pod.store_dir / PREFIX / "a").glob("*.ts")), "nothing is deleted"
    assert not list((pod.store_dir / SCRATCH).glob("*"))
    return found


async def test_a_file_that_cannot_be_made_says_why(tmp_path: Path, clip: Clip) -> None:
    folder = tmp_path / "store" / PREFIX / "a"
    entry = record(folder, clip, clip.units)
    garbage = []
    for chunk in entry.chunks:
        data = bytes(chunk.size_bytes)
        (folder / chunk.name).write_bytes(data)
        garbage.append(chunk.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()}))
    found = await failed(tmp_path, entry.model_copy(update={"chunks": garbage}))
    assert "ffmpeg ended with code 1" in str(found.message)


@pytest.mark.parametrize("place", [0, 1, -1])
async def test_a_damaged_chunk_is_a_gap_and_the_rest_is_an_mp4(
    tmp_path: Path, clip: Clip, place: int
) -> None:
    pod = StorePod(tmp_path)
    folder = pod.store_dir / PREFIX / "a"
    entry = record(folder, clip, clip.units)
    bad = entry.chunks[place]
    with (folder / bad.name).open("r+b") as file:
        file.seek(1000)
        file.write(b"bit rot")
    await leave(open_volume(pod.store_dir), {"a": entry})
    async with pod.running() as session:
        found = await result(session, "Done")
    (made,) = found.files
    assert made.message is not None
    assert f"{bad.name} is damaged in the store" in made.message
    (gap,) = made.gaps
    assert gap.wall_seconds == pytest.approx(4, abs=0.2)
    assert gap.at_seconds == pytest.approx([0, 4, 16][place], abs=0.2)
    assert (found.incomplete_reason, found.kept_chunks) == ("ChunksLost", 1)
    assert [path.name for path in folder.glob("*.ts")] == [bad.name]
    frames, expected = frame_hashes(folder.parent / made.name), frame_hashes(clip.path)
    at = expected.index(frames[0])
    assert len(frames) == len(expected) - bad.tracks[0].units
    assert all(frame in expected[at:] for frame in frames)


async def test_an_mp4_can_begin_without_a_keyframe(tmp_path: Path) -> None:
    """FFmpeg would leave out all pictures before the first keyframe."""
    long_gop = make_clip(tmp_path / "gop.flv", seconds=14, gop=200)
    pod = StorePod(tmp_path)
    folder = pod.store_dir / PREFIX / "a"
    entry = record(folder, long_gop, long_gop.units)
    (folder / entry.chunks[0].name).unlink()
    await leave(open_volume(pod.store_dir), {"a": entry})
    async with pod.running() as session:
        (file,) = (await result(session, "Done")).files
    assert (file.state, file.lost_chunks) == ("Ready", 1)
    assert file.duration_seconds == pytest.approx(8, abs=0.2)


async def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    pod = StorePod(tmp_path)
    role = StoreRole(pod.settings)
    storage = open_volume(pod.store_dir)
    await role.probe(storage)
    assert role.board.status.writable
    # A folder where the probe's object would lie: the write fails as on a sick disk.
    (pod.store_dir / ".probe").write_text("in the way")
    await role.probe(storage)
    assert not role.board.status.writable
    assert role.board.status.message
