"""Two encoders, a gateway and a hub as processes: what readers see when the primary leg dies."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from sluice_media.contract import TimelineEnd, TimelineFormat, TimelineGap
from sluice_media.formats.mpegts.mux import TsMuxer
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.legs.leg import LegName
from sluice_media.timeline.framing import Record, track_formats
from tests.support.duo_rig import DuoRig, duo_rig
from tests.support.frames import make_clip, runs
from tests.support.hub_world import World
from tests.support.media_clips import read_flv
from tests.support.publish import Publisher
from tests.support.recorder_rig import ROOT
from tests.support.soak import soak


def make_clips(folder: Path, **how: Any) -> dict[str, Path]:
    labels = ("A", "B")
    return {n: make_clip(folder / f"{n}.flv", seconds=20, label=n, **how) for n in labels}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def b_frame_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_clips(tmp_path_factory.mktemp("clips"), b_frames=2, gop_frames=25)


async def both_on_air(rig: DuoRig, on: AsyncExitStack, clips: dict[str, Path]) -> Publisher:
    """The primary feeds the output, the backup stands by; returns the primary's encoder."""
    primary = on.enter_context(Publisher(clips["A"], rig.url))
    await rig.until(lambda s: s.active_source == "Primary")
    on.enter_context(Publisher(clips["B"], rig.backup_url))
    await rig.until(lambda s: s.backup_delivers)
    return primary


def write_ts(records: list[Record], path: Path) -> None:
    muxer: TsMuxer | None = None
    with path.open("wb") as out:
        for record in records:
            if isinstance(record, TimelineFormat):
                muxer = TsMuxer(track_formats(record.tracks))
            elif isinstance(record, AccessUnit):
                assert muxer is not None
                out.write(muxer.write(record))


def assert_decodes(path: Path) -> None:
    """Without a single complaint."""
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_a_killed_a_frozen_and_a_cut_off_primary_cost_readers_at_most_a_moment(
    tmp_path: Path,
) -> None:
    found = tmp_path / "outcomes.json"
    subprocess.run(
        [sys.executable, "-m", "tests.bench", "failover", "--runs", "1", "--json", str(found)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'images/media/src'}"},
        timeout=180,
    )
    outcomes: list[dict[str, Any]] = json.loads(found.read_text())
    assert [outcome["fault"] for outcome in outcomes] == ["kill", "freeze", "drop"]
    for outcome in outcomes:
        assert [run[0] for run in outcome["runs"]] == ["A", "B"]
        assert outcome["outage_seconds"] < 8
        assert outcome["push_restarts"] == outcome["gaps"] == 0
        assert outcome["failovers"] == 1


async def test_the_pictures_of_both_encoders_decode_without_a_complaint(
    tmp_path: Path, clips: dict[str, Path]
) -> None:
    async with duo_rig(tmp_path / "pods") as rig, AsyncExitStack() as on:
        primary = await both_on_air(rig, on, clips)
        async with rig.timed_reading("recorder") as timed:
            await asyncio.sleep(3)
            primary.kill()
            status = await rig.until(lambda s: s.active_source == "Backup")
            await asyncio.sleep(3)
    assert status.session is not None
    assert status.session.failovers == status.failovers == 1
    assert not timed.of(TimelineGap)
    out = tmp_path / "out.ts"
    write_ts([record for _, record in timed.records], out)
    assert_decodes(out)
    found = runs(out, clips)
    assert [run.source for run in found] == ["A", "B"]


async def test_one_encoder_that_pushes_twice_is_one_picture_after_the_other(
    tmp_path: Path, clips: dict[str, Path]
) -> None:
    tee = "[f=flv:onfail=ignore]{0}|[f=flv:onfail=ignore]{1}"
    async with duo_rig(tmp_path / "pods") as rig:
        command = ["ffmpeg", "-v", "error", "-re", "-i", str(clips["A"]), "-c", "copy"]
        command += ["-map", "0", "-f", "tee", tee.format(rig.url, rig.backup_url)]
        encoder = asyncio.create_task(rig.publish(*command))
        await rig.until(lambda s: s.active_source == "Primary" and s.backup_delivers)
        async with rig.timed_reading("recorder") as timed:
            await asyncio.sleep(2.5)
            (rig._folder / "keys/ingest/token").write_text("another-key")  # cuts the primary
            await rig.until(lambda s: s.active_source == "Backup")
            await asyncio.sleep(2)
            encoder.cancel()
            await asyncio.gather(encoder, return_exceptions=True)
    sent = [u.payload for u in read_flv(clips["A"]).units if u.track == 0]
    got = [u.payload for _, u in timed.units if u.track == 0]
    assert got == sent[sent.index(got[0]) :][: len(got)]
    assert not timed.of(TimelineGap)


async def test_a_hub_that_dies_while_its_backup_feeds_it_costs_no_picture(
    tmp_path: Path, clips: dict[str, Path]
) -> None:
    async with duo_rig(tmp_path / "pods", resume_window_seconds=30) as rig, AsyncExitStack() as on:
        primary = await both_on_air(rig, on, clips)
        async with rig.timed_reading("recorder") as before:
            await asyncio.sleep(1)
            primary.freeze()
            await rig.until(lambda s: s.active_source == "Backup")
            primary.thaw()
            await rig.until(lambda s: s.primary_delivers)
            await asyncio.sleep(1)
            rig.hub.kill()
            await rig.hub.wait()
            await asyncio.sleep(0.1)
        rig.hub = await rig._run("hub", rig.hub_status_port, "-m", "sluice_media", "ingest")
        await asyncio.sleep(2)
        status = await rig.until(lambda s: s.on_air)
        assert status.active_source == "Backup"
        async with rig.timed_reading("recorder") as after:
            async with asyncio.timeout(30):
                while not after.units:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(2)
    forms = [before.of(TimelineFormat)[0], after.of(TimelineFormat)[0]]
    assert forms[0].timeline == forms[1].timeline
    assert [form.epoch for form in forms] == [1, 2]
    assert forms[0].session_started_at == forms[1].session_started_at
    assert not after.of(TimelineGap)
    assert not after.of(TimelineEnd)
    taken = {u.track: u.dts for _, u in before.units}
    fresh = [u for _, u in after.units if u.dts > taken[u.track] + 225]
    sent = [u.payload for u in read_flv(clips["B"]).units if u.track == 0]
    got = [u.payload for u in [u for _, u in before.units] + fresh if u.track == 0]
    got = [payload for payload in got if payload in set(sent)]
    assert got == sent[sent.index(got[0]) :][: len(got)]


@pytest.mark.parametrize("base", [2**33 - 4 * 90_000, 90 * 2**32 - 4 * 90_000, 0])
def test_what_comes_out_of_many_switches_demuxes_and_decodes(
    base: int, tmp_path: Path, b_frame_clips: dict[str, Path]
) -> None:
    dice = random.Random(base)
    world = World(backup=True, resume_window_seconds=600)
    reader = world.read()
    made = [read_flv(b_frame_clips[name]) for name in ("A", "B")]
    legs = [
        world.publish(name=name, formats=clip.formats)
        for name, clip in zip(LegName, made, strict=True)
    ]
    silent_until = [0.0, 0.0]
    events = [(u.dts, n, u) for n, clip in enumerate(made) for u in clip.units if u.dts >= 0]
    events.sort(key=lambda event: event[:2])
    started = world.monotonic
    for dts, n, unit in events:
        at = started + dts / 90_000
        world.pass_time(max(0.0, at - world.monotonic))
        if at > silent_until[n] and dice.random() < 0.004:
            silent_until[n] = at + dice.uniform(0.9, 2)
        if at < silent_until[n]:
            continue
        shift = base if n else 0
        leg = legs[n].leg
        leg.bytes_arrived(100, world.now)
        fresh = AccessUnit(
            unit.track, dts + shift, unit.pts + shift, unit.flags, world.now.utc_us, unit.payload
        )
        world.hub.take_unit(leg, fresh, world.now)
    reader.catch_up()
    assert world.hub.output.failovers.count >= 2
    out = tmp_path / "out.ts"
    write_ts(reader.records, out)
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-xerror", "-i", str(out), "-c", "copy", "-f", "null", "-"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.long
async def test_twenty_seconds_of_faults_leave_no_error(tmp_path: Path) -> None:
    report = await soak(tmp_path / "pods", 20, 5, seed=7, size=2_000, fault_every_seconds=4)
    assert report.errors == []
    assert report.units > 400
