"""A recorder process against a hub: what was sent is in the file, whatever happens on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from sluice_media.contract import DesiredState, RecorderPhase
from sluice_media.ffmpeg.probe import probe
from sluice_media.formats.units import AccessUnit
from tests.support.fake_hub import FakeHub, running_hub
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.recorder_rig import RecorderRig, recorder_rig

THREE_SECONDS_BEFORE_THE_WRAP = (1 << 33) - 3 * 90_000


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clip") / "av.flv", seconds=12, gop=50)


@cache
def sent_hashes(clip: Clip, stream: str = "v:0") -> list[str]:
    return frame_hashes(clip.path, stream)


def has_index_in_front(path: Path) -> bool:
    data = path.read_bytes()
    return 0 < data.find(b"moov") < data.find(b"mdat")


def packet_times(path: Path, stream: str) -> list[float]:
    """DTS of a stream's packets, in seconds."""
    argv = ["ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", "packet=dts_time"]
    found = subprocess.run([*argv, "-of", "csv=p=0", path], check=True, capture_output=True)
    return [float(line.strip(",")) for line in found.stdout.decode().split()]


def longest_step(path: Path, stream: str) -> float:
    return max(after - before for before, after in pairwise(packet_times(path, stream)))


async def send(hub: FakeHub, units: Sequence[AccessUnit], **how: float) -> None:
    await hub.play(units, speed=how.get("speed", 8.0), shift=int(how.get("shift", 0)))


async def stop_and_finish(rig: RecorderRig) -> None:
    await asyncio.sleep(0.6)
    rig.configure(desired_state=DesiredState.STOPPED)
    assert await rig.exit_code() == 0


@pytest.mark.parametrize("shift", [0, THREE_SECONDS_BEFORE_THE_WRAP], ids=["", "over 2^33"])
async def test_everything_sent_is_in_the_mp4(tmp_path: Path, clip: Clip, shift: int) -> None:
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        await rig.start()
        hub.begin(clip.formats, "t1")
        await send(hub, clip.units, shift=shift)
        status = await rig.until(lambda s: s.recording_duration > 11.9)
        assert status.phase is RecorderPhase.RECORDING
        async with asyncio.timeout(60):
            while not (metrics := await rig.metrics())["sluice_record_stored_bytes_total"]:
                await asyncio.sleep(0.1)  # a closed chunk is on its way to the store
        await stop_and_finish(rig)
        result = await rig.finished()

    (file,) = result.files
    assert (result.state, result.end_reason, file.state) == ("Done", "Stopped", "Ready")
    assert file.title.startswith("Stream Record: News at 9, 20")
    assert file.title.endswith(" UTC")
    assert file.uri == f"pvc://claim/recordings/{rig.config.uid}/{rig.config.uid}-001.mp4"
    assert frame_hashes(rig.mp4()) == sent_hashes(clip)
    assert frame_hashes(rig.mp4(), "a:0") == sent_hashes(clip, "a:0")
    assert has_index_in_front(rig.mp4())
    probed = await probe(rig.mp4())
    assert probed.format.tags["title"] == file.title
    assert abs(probed.format.duration - status.recording_duration) < 0.2
    assert file.size_bytes == rig.mp4().stat().st_size
    assert not list(rig.store_dir.rglob("*.ts"))
    assert hub.acks, "what is durable was acknowledged"
    assert metrics["sluice_record_chunks_total"] >= 1
    assert 0 < metrics["sluice_record_stored_bytes_total"] <= file.size_bytes * 1.2
    assert metrics['sluice_record_phase{phase="Recording"}'] == 1
    assert metrics["sluice_record_duration_seconds"] > 11.9


async def test_a_pod_that_is_deleted_takes_its_worker_along_and_leaves_everything_in_the_store(
    tmp_path: Path, clip: Clip
) -> None:
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        await rig.start(supervised=True)
        hub.begin(clip.formats, "t1")
        await send(hub, clip.units[:300])
        await rig.until(lambda s: s.recording_duration > 3)
        await asyncio.sleep(0.3)
        (worker,) = rig.children()
        rig.kill(signal.SIGTERM)
        assert await rig.exit_code(20) == 143
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
        assert not (rig.store_dir / rig.config.prefix / "done.json").exists()
        assert list(rig.store_dir.rglob("*.ts"))
        assert not list((tmp_path / "spool").rglob("*.ts")), "the next pod has another spool"
        await rig.start()
        await send(hub, clip.units[300:])
        await stop_and_finish(rig)
        await rig.finished()
    assert frame_hashes(rig.mp4()) == sent_hashes(clip)


async def test_a_loss_inside_the_window_is_one_file_and_one_gap(tmp_path: Path, clip: Clip) -> None:
    cut = next(i for i, u in enumerate(clip.units) if u.track == 0 and u.dts >= 4 * 90_000)
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        await rig.start()
        hub.begin(clip.formats, "t1")
        await send(hub, clip.units[:cut])
        hub.silent()
        await rig.until(lambda s: s.phase is RecorderPhase.INTERRUPTED)
        hub.gap(clip.units[cut].dts, 6.0)
        await send(hub, clip.units[cut:])
        status = await rig.until(lambda s: s.phase is RecorderPhase.RECORDING)
        assert [(g.at_seconds, g.wall_seconds) for g in status.files[0].gaps] == [(4.0, 6.0)]
        await stop_and_finish(rig)
        result = await rig.finished()
    assert [len(file.gaps) for file in result.files] == [1]
    assert frame_hashes(rig.mp4()) == sent_hashes(clip)


@pytest.mark.parametrize("hole_seconds", [3, 12])
async def test_media_follows_on_media_over_every_hole(
    tmp_path: Path, clip: Clip, hole_seconds: int
) -> None:
    """FFmpeg closes holes of more than 10 s only: shorter ones stood in the MP4 as a pause."""
    cuts = [
        next(i for i, u in enumerate(clip.units) if u.track == 0 and u.dts >= at * 90_000)
        for at in (4, 8)
    ]
    pieces = (clip.units[: cuts[0]], clip.units[cuts[0] : cuts[1]], clip.units[cuts[1] :])
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        await rig.start()
        hub.begin(clip.formats, "t1")
        for number, piece in enumerate(pieces):
            await send(hub, piece, shift=number * hole_seconds * 90_000)
        status = await rig.until(lambda s: s.recording_duration > 11.8)
        assert status.recording_duration == pytest.approx(12, abs=0.2)
        rig.kill()
        await rig.exit_code()
        await rig.start()
        status = await rig.until(lambda s: s.recording_duration > 11.8)
        assert status.recording_duration == pytest.approx(12, abs=0.2), "and after a restart"
        await stop_and_finish(rig)
        result = await rig.finished()

    (file,) = result.files
    assert [gap.at_seconds for gap in file.gaps] == pytest.approx([4, 8], abs=0.2)
    assert [gap.wall_seconds for gap in file.gaps] == pytest.approx([hole_seconds] * 2, abs=0.2)
    assert file.duration_seconds == pytest.approx(12, abs=0.2)
    assert (await probe(rig.mp4())).format.duration == pytest.approx(12, abs=0.2)
    assert frame_hashes(rig.mp4()) == sent_hashes(clip)
    assert frame_hashes(rig.mp4(), "a:0") == sent_hashes(clip, "a:0")
    assert longest_step(rig.mp4(), "v") < 0.2
    assert longest_step(rig.mp4(), "a") < 0.2


async def test_sound_that_pauses_comes_back_where_it_belongs(tmp_path: Path) -> None:
    """FFmpeg took a pause of one track for a hole in all, and sound came 12 s too early."""
    clip = make_clip(tmp_path / "long.flv", seconds=30, video="320x180", gop=50)
    kept = [u for u in clip.units if u.track == 0 or not 8 <= u.dts / 90_000 < 20]
    async with running_hub() as hub, recorder_rig(tmp_path / "rig", hub.port) as rig:
        await rig.start()
        hub.begin(clip.formats, "t1")
        await send(hub, kept)
        await rig.until(lambda s: s.recording_duration > 29.8)
        await stop_and_finish(rig)
        await rig.finished()
    assert frame_hashes(rig.mp4()) == sent_hashes(clip)
    sound = packet_times(rig.mp4(), "a")
    assert len(sound) == sum(u.track == 1 for u in kept)
    assert sound[-1] == pytest.approx(30, abs=0.2)
    assert longest_step(rig.mp4(), "a") == pytest.approx(12, abs=0.1)
    assert longest_step(rig.mp4(), "v") < 0.1


async def test_each_session_is_a_file_and_is_finished_while_the_next_is_awaited(
    tmp_path: Path, clip: Clip
) -> None:
    cut = next(i for i, u in enumerate(clip.units) if u.is_random_access and u.dts >= 6 * 90_000)
    async with (
        running_hub() as hub,
        recorder_rig(tmp_path, hub.port, rearm_seconds=3) as rig,
    ):
        await rig.start()
        await hub.has_reader()
        hub.begin(clip.formats, "t1")
        await send(hub, clip.units[:cut])
        hub.end()
        await rig.until(lambda s: s.phase is RecorderPhase.WAITING_FOR_RETURN)
        hub.begin(clip.formats, "t2")
        await send(hub, clip.units[cut:])
        await rig.until(lambda s: len(s.files) == 2)
        hub.end()
        status = await rig.until(lambda s: s.phase is RecorderPhase.DONE)
        assert status.end_reason == "StreamEnded"
        assert await rig.exit_code() == 0
        result = await rig.finished()
    assert [file.end_reason for file in result.files] == ["SessionEnded", "SessionEnded"]
    assert frame_hashes(rig.mp4(1)) + frame_hashes(rig.mp4(2)) == sent_hashes(clip)


@pytest.mark.parametrize("kind", ["audio only", "video only"])
async def test_streams_of_one_track_are_streams(tmp_path: Path, kind: str) -> None:
    video, audio = (None, 44_100) if kind == "audio only" else ("320x180", None)
    clip = make_clip(tmp_path / "one.flv", seconds=4, video=video, audio_hz=audio)
    stream = "a:0" if kind == "audio only" else "v:0"
    async with running_hub() as hub, recorder_rig(tmp_path / "rig", hub.port) as rig:
        await rig.start()
        hub.begin(clip.formats, "t1")
        await send(hub, clip.units)
        await rig.until(lambda s: s.recording_duration > 3.8)
        await stop_and_finish(rig)
        await rig.finished()
    assert frame_hashes(rig.mp4(), stream) == sent_hashes(clip, stream)
    assert has_index_in_front(rig.mp4())


async def test_audio_that_begins_late_is_in_the_file(tmp_path: Path, clip: Clip) -> None:
    late = [u for u in clip.units if u.track == 0 or u.dts >= 7 * 90_000]
    first_audio = next(i for i, u in enumerate(late) if u.track == 1)
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        await rig.start()
        await hub.has_reader()
        hub.begin(clip.formats[:1], "t1")
        await send(hub, late[:first_audio])
        hub.begin(clip.formats, "t1")
        await send(hub, late[first_audio:])
        await rig.until(lambda s: s.recording_duration > 11.8)
        await stop_and_finish(rig)
        result = await rig.finished()
    assert len(result.files) == 1
    assert frame_hashes(rig.mp4()) == sent_hashes(clip)
    kept = sum(u.track == 1 for u in late)
    assert len(frame_hashes(rig.mp4(), "a:0")) == kept


async def test_declared_audio_that_never_comes_does_no_harm(tmp_path: Path, clip: Clip) -> None:
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        await rig.start()
        hub.begin(clip.formats, "t1")
        await send(hub, [u for u in clip.units if u.track == 0])
        await rig.until(lambda s: s.recording_duration > 11.8)
        await stop_and_finish(rig)
        await rig.finished()
    assert frame_hashes(rig.mp4()) == sent_hashes(clip)


async def test_other_parameters_open_another_file(tmp_path: Path, clip: Clip) -> None:
    other = make_clip(tmp_path / "other.flv", seconds=3, video="320x180", audio_hz=44_100)
    shift = clip.units[-1].dts + 9_000
    async with running_hub() as hub, recorder_rig(tmp_path / "rig", hub.port) as rig:
        await rig.start()
        await hub.has_reader()
        hub.begin(clip.formats, "t1")
        await send(hub, clip.units)
        hub.begin(other.formats, "t1")
        await send(hub, other.units, shift=shift)
        await rig.until(lambda s: len(s.files) == 2 and s.recording_duration > 14.8)
        await stop_and_finish(rig)
        result = await rig.finished()
    assert [file.end_reason for file in result.files] == ["ParametersChanged", "Stopped"]
    assert frame_hashes(rig.mp4(1)) == sent_hashes(clip)
    assert frame_hashes(rig.mp4(2)) == sent_hashes(other)


async def test_sound_that_appears_in_mid_gop_costs_no_picture(tmp_path: Path) -> None:
    """With a GOP of 10 s, 175 pictures were in no file, and no gap said so."""
    clip = make_clip(tmp_path / "long.flv", seconds=45, video="320x180", gop=250)
    late = [u for u in clip.units if u.track == 0 or u.dts >= 33 * 90_000]
    first_sound = next(i for i, u in enumerate(late) if u.track == 1)
    async with running_hub() as hub, recorder_rig(tmp_path / "rig", hub.port) as rig:
        await rig.start()
        await hub.has_reader()
        hub.begin(clip.formats[:1], "t1")
        await send(hub, late[:first_sound])
        hub.begin(clip.formats, "t1")
        await send(hub, late[first_sound:])
        await rig.until(lambda s: len(s.files) == 2 and s.recording_duration > 44.8)
        await stop_and_finish(rig)
        result = await rig.finished()
    assert [file.end_reason for file in result.files] == ["ParametersChanged", "Stopped"]
    assert frame_hashes(rig.mp4(1)) + frame_hashes(rig.mp4(2)) == sent_hashes(clip)
    (gap,) = result.files[0].gaps
    assert (gap.at_seconds, gap.wall_seconds) == pytest.approx((33, 7), abs=0.1)
    sound = sum(u.track == 1 and u.dts >= 40 * 90_000 for u in late)
    assert len(frame_hashes(rig.mp4(2), "a:0")) == sound


async def test_a_recording_begins_at_the_keyframe_before_it_was_made(
    tmp_path: Path, clip: Clip
) -> None:
    async with running_hub() as hub, recorder_rig(tmp_path, hub.port) as rig:
        hub.begin(clip.formats, "t1")
        await send(hub, [u for u in clip.units if u.dts < 5 * 90_000])
        rig.configure(created_at=datetime.now(UTC))
        await rig.start()
        await send(hub, [u for u in clip.units if u.dts >= 5 * 90_000])
        await rig.until(lambda s: s.recording_duration > 7.8)
        await stop_and_finish(rig)
        await rig.finished()
    assert frame_hashes(rig.mp4()) == sent_hashes(clip)[100:], "from the keyframe at 4 s on"


async def test_too_short_a_recording_is_discarded(tmp_path: Path, clip: Clip) -> None:
    async with (
        running_hub() as hub,
        recorder_rig(tmp_path, hub.port, minimum_seconds=10) as rig,
    ):
        await rig.start()
        hub.begin(clip.formats, "t1")
        await send(hub, clip.units[:200])
        await rig.until(lambda s: s.recording_duration > 1)
        await stop_and_finish(rig)
        result = await rig.finished()
    assert (result.end_reason, [file.state for file in result.files]) == ("TooShort", ["Discarded"])
    assert not list(rig.store_dir.rglob("*.ts"))
    assert not list(rig.store_dir.rglob("*.mp4"))
