"""A recorder process, and everything around it failing: what was on air is in the file."""

from __future__ import annotations

import asyncio
import resource
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from sluice_media.contract import DesiredState, RecorderPhase, StreamRef
from sluice_media.recording.usage import StoreUsage, write_usage
from sluice_media.storage.object_store import open_volume
from tests.support.broadcast_rig import HUB_TOKEN, broadcast_rig
from tests.support.fake_hub import SESSION_STARTED_AT, running_hub
from tests.support.hub_world import config
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.publish import Publisher
from tests.support.recorder_rig import RecorderRig, recorder_rig


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    return make_clip(folder / "av.flv", seconds=60, gop=50, video="320x180")


@cache
def sent_hashes(clip: Clip, stream: str = "v:0") -> list[str]:
    return frame_hashes(clip.path, stream)


def first(clip: Clip, seconds: float) -> Clip:
    """Its beginning, up to a random access point."""
    units = tuple(u for u in clip.units if u.dts < seconds * 90_000)
    return Clip(clip.path, clip.formats, units)


async def stop(rig: RecorderRig) -> None:
    await asyncio.sleep(0.6)
    rig.configure(desired_state=DesiredState.STOPPED)
    assert await rig.exit_code() == 0


@pytest.mark.long
async def test_a_recorder_that_is_killed_again_and_again_for_a_minute(
    tmp_path: Path, minute: Clip
) -> None:
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        await rig.start(supervised=True)
        hub.begin(minute.formats, "t1")
        playing = asyncio.create_task(hub.play(minute.units, speed=4))
        killed = set()
        for seconds in (2, 10, 20, 30, 40, 50):
            await rig.recorded(seconds)
            (worker,) = rig.children()
            RecorderRig.kill_process(worker)
            killed.add(worker)
        await playing
        await rig.recorded(59.5)
        await stop(rig)
        journals = {path.parent for path in rig.store_dir.rglob("journal-*.json")}
        played = frame_hashes(rig.playlists()[-1])
        result = await rig.finished()
    (file,) = result.files
    assert len(killed) == 6, "the supervisor started another worker each time"
    assert len(journals) > 3
    assert file.gaps == []
    assert frame_hashes(rig.mp4()) == sent_hashes(minute)
    assert frame_hashes(rig.mp4(), "a:0") == sent_hashes(minute, "a:0")
    assert len(played) == len(sent_hashes(minute)), "the playlist names chunks of all attempts"


async def test_splits_put_together_are_what_was_sent(tmp_path: Path, minute: Clip) -> None:
    clip = first(minute, 20)
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port, split_seconds=2) as rig:
        await rig.start()
        hub.begin(clip.formats, "t1")
        await hub.play(clip.units, speed=8)
        await rig.recorded(19.9)
        await stop(rig)
        result = await rig.finished()
    assert [file.end_reason for file in result.files] == ["Split"] * 9 + ["Stopped"]
    assert [file.duration_seconds for file in result.files] == pytest.approx([2.0] * 10, abs=0.1)
    for stream, count in (("v:0", 500), ("a:0", sum(u.track == 1 for u in clip.units))):
        hashes = [h for n in range(1, 11) for h in frame_hashes(rig.mp4(n), stream)]
        assert len(hashes) == count
        if stream == "v:0":
            assert hashes == sent_hashes(minute)[:500]


async def test_a_recording_is_watched_while_it_runs(tmp_path: Path, minute: Clip) -> None:
    clip = first(minute, 20)
    async with (
        running_hub() as hub,
        recorder_rig(tmp_path, hub.port, uri_base="pvc://claim/") as rig,
    ):
        await rig.start()
        hub.begin(clip.formats, "t1")
        playing = asyncio.create_task(hub.play(clip.units, speed=2.5))
        status = await rig.until(lambda s: bool(s.files and s.files[0].original_uri))
        (playlist,) = rig.playlists()
        uri = status.files[0].original_uri
        assert uri == f"pvc://claim/{playlist.relative_to(rig.store_dir)}"
        assert "#EXT-X-PLAYLIST-TYPE:EVENT" in playlist.read_text()
        player = await asyncio.create_subprocess_exec(
            *("ffmpeg", "-v", "error", "-live_start_index", "0", "-i", str(playlist)),
            *("-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        await playing
        await stop(rig)
        out, errors = await asyncio.wait_for(player.communicate(), 60)
        text = playlist.read_text()
    assert not errors, errors.decode()
    lines = [line for line in out.decode().splitlines() if line[:1] != "#"]
    assert [line.rsplit(",", 1)[1].strip() for line in lines] == sent_hashes(minute)[:500]
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in text
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert "#EXT-X-DISCONTINUITY" not in text


@pytest.mark.long
async def test_of_two_recorders_one_says_that_it_is_over_and_no_frame_is_there_twice(
    tmp_path: Path, minute: Clip
) -> None:
    clip, store = first(minute, 16), tmp_path / "store"
    async with (
        running_hub() as hub,
        recorder_rig(tmp_path / "lost", hub.port, store=store) as lost,
        recorder_rig(tmp_path / "new", hub.port, store=store) as new,
    ):
        new.configure(created_at=lost.config.created_at)
        await lost.start()
        hub.begin(clip.formats, "t1")
        playing = asyncio.create_task(hub.play(clip.units, speed=2.5))
        await lost.recorded(5)
        await new.start()
        await playing
        for rig in (lost, new):
            await rig.recorded(15.9)
        lost.configure(desired_state=DesiredState.STOPPED)
        await asyncio.sleep(1)
        assert not (store / lost.config.prefix / "done.json").exists(), "it was overtaken"
        new.configure(desired_state=DesiredState.STOPPED)
        assert await new.exit_code() == 0
        assert await lost.exit_code() == 0, "the Recording is over for it as well"
        result = await new.finished()
        await lost.start()
        assert await lost.exit_code() == 0, "nor does it do harm when it comes back later"
        assert await new.finished() == result
    (file,) = result.files
    assert file.gaps == []
    assert frame_hashes(new.mp4()) == sent_hashes(minute)[:400]
    assert len(frame_hashes(new.mp4(), "a:0")) == sum(u.track == 1 for u in clip.units)


async def test_a_store_that_is_gone_is_waited_for_up_to_the_spools_limit_and_beyond(
    tmp_path: Path, minute: Clip
) -> None:
    clip, limit = first(minute, 30), 300_000
    async with (
        running_hub() as hub,
        recorder_rig(tmp_path, hub.port, spool_limit_bytes=limit) as rig,
    ):
        await rig.start()
        hub.begin(clip.formats, "t1")
        playing = asyncio.create_task(hub.play(clip.units, speed=6))
        await rig.recorded(8)
        away = tmp_path / "away"
        rig.store_dir.rename(away)
        rig.store_dir.write_text("no folder")
        await rig.until(lambda s: s.pending_bytes >= limit and s.store_error_reason is not None)
        await playing
        status = await rig.status()
        assert status.phase is RecorderPhase.RECORDING
        assert status.recording_duration < 29, "the hub's ring has the rest"
        largest = max(path.stat().st_size for path in (tmp_path / "spool").rglob("*.ts"))
        assert status.pending_bytes <= limit + 2 * largest
        rig.store_dir.unlink()
        away.rename(rig.store_dir)
        status = await rig.until(lambda s: s.recording_duration > 29.9, 30)
        await rig.until(lambda s: s.store_error is None)
        await stop(rig)
        result = await rig.finished()
    assert [file.gaps for file in result.files] == [[]]
    assert frame_hashes(rig.mp4()) == sent_hashes(minute)[:750]


async def test_the_recorders_own_disk_fails_for_a_while(tmp_path: Path, minute: Clip) -> None:
    clip = first(minute, 24)
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        await rig.start()
        assert rig.process is not None
        hub.begin(clip.formats, "t1")
        playing = asyncio.create_task(hub.play(clip.units, speed=3))
        await rig.recorded(8)
        before = resource.prlimit(rig.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(rig.process.pid, resource.RLIMIT_FSIZE, (50_000, before[1]))
        status = await rig.until(lambda s: s.store_error_reason == "SpoolFailed")
        assert status.store_error == "the recorder's own disk cannot be written"
        await asyncio.sleep(2)
        resource.prlimit(rig.process.pid, resource.RLIMIT_FSIZE, before)
        await playing
        await rig.until(lambda s: s.recording_duration > 23.9 and s.store_error is None)
        assert rig.process.returncode is None, "the process stays, to say what is wrong"
        await stop(rig)
        result = await rig.finished()
    assert [file.gaps for file in result.files] == [[]]
    assert frame_hashes(rig.mp4()) == sent_hashes(minute)[:600]


async def test_a_full_store_ends_a_recording_with_a_whole_file(
    tmp_path: Path, minute: Clip
) -> None:
    clip = first(minute, 40)
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        usage = StoreUsage(
            used_bytes=0, limit_bytes=2_000_000, observed_at=datetime.now(UTC), exceeded=False
        )
        await write_usage(open_volume(rig.store_dir), usage)
        await rig.start()
        hub.begin(clip.formats, "t1")
        playing = asyncio.create_task(hub.play(clip.units, speed=5))
        status = await rig.until(lambda s: s.phase is RecorderPhase.DONE)
        playing.cancel()
        assert await rig.exit_code() == 0
        result = await rig.finished()
    assert status.end_reason == "StorageLimit"
    (file,) = result.files
    assert file.end_reason == "StorageLimit"
    hashes = frame_hashes(rig.mp4())
    assert len(hashes) > 100
    assert hashes[:-3] == sent_hashes(minute)[: len(hashes) - 3]
    assert file.size_bytes is not None
    assert file.size_bytes < 2_300_000, "the limit, and what may come in one piece"


@pytest.mark.long
async def test_a_publisher_that_comes_and_goes_every_two_seconds(
    tmp_path: Path, minute: Clip
) -> None:
    stream = StreamRef(name="news", uid="stream-uid", host="localhost", resume_window_seconds=20)
    async with (
        broadcast_rig(tmp_path) as broadcast,
        recorder_rig(tmp_path / "rec", broadcast.hub_port, token=HUB_TOKEN, stream=stream) as rig,
        broadcast.reading() as received,
    ):
        fresh = tmp_path / "config.new"
        fresh.write_text(config(resume_window_seconds=20, generation=2).to_json())
        fresh.rename(tmp_path / "config.json")
        await broadcast.until(lambda s: s.config_generation == 2)
        await rig.start()
        await rig.until(lambda s: True)
        for _ in range(4):
            with Publisher(minute.path, broadcast.url):
                await broadcast.until(lambda s: s.primary_delivers)
                await asyncio.sleep(2)
            await asyncio.sleep(1)
        status = await rig.status()
        await stop(rig)
        await rig.finished()
    pictures = received.payloads(0)
    assert len(status.files) == 1
    assert len(status.files[0].gaps) == 3
    assert len(frame_hashes(rig.mp4())) == len(pictures)
    assert len(frame_hashes(rig.mp4(), "a:0")) == len(received.payloads(1))


async def test_one_session_is_recorded_from_its_beginning_although_another_one_is_on(
    tmp_path: Path, minute: Clip
) -> None:
    ours, later = first(minute, 8), datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    async with (
        running_hub() as hub,
        recorder_rig(tmp_path, hub.port, session_started_at=SESSION_STARTED_AT) as rig,
    ):
        hub.begin(minute.formats, "t1")
        await hub.play(ours.units, speed=20)
        hub.end()
        hub.begin(minute.formats, "t2", later)
        await hub.play(minute.units[:200], speed=20)
        await rig.start()
        status = await rig.until(lambda s: s.phase is RecorderPhase.DONE)
        assert await rig.exit_code() == 0
        assert hub.requests[0]["session"] == SESSION_STARTED_AT.isoformat()
        await rig.finished()
    assert status.end_reason == "StreamEnded"
    assert frame_hashes(rig.mp4()) == sent_hashes(minute)[:200]
