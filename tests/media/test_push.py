"""The pusher against real targets: FFmpeg as a platform that listens, nginx-rtmp as one that
refuses, and peers that are no RTMP server at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from sluice_media.contract import PushState
from tests.support.fake_hub import FakeHub
from tests.support.frames import runs
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.push_rig import (
    Broadcast,
    broadcast,
    class_of,
    finish,
    listening,
    running_push,
)
from tests.support.target import RtmpTarget, free_port

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
CANARY = "canary-5f2e9c-stream-key"


@pytest.fixture(scope="module")
def short(clips: Path) -> Clip:
    return make_clip(clips / "short.flv", seconds=5, video="320x180", gop=25)


@pytest.fixture(scope="module")
def long(clips: Path) -> Clip:
    return make_clip(clips / "long.flv", seconds=60, video="320x180", gop=25)


async def test_every_frame_arrives_and_the_end_of_the_session_is_an_orderly_one(
    short: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with (
        broadcast(short, live=False) as source,
        running_push(tmp_path / "p", source, target.url) as push,
    ):
        assert (push.status.state, push.status.idle_reason) == (PushState.IDLE, "WaitingForStream")
        source.go_on_air()
        await push.until_state(PushState.LIVE)
        assert push.status.started_at is not None
        await source.played()
        source.end()
        await push.until_state(PushState.IDLE)
        await finish(target)
        assert push.states == [PushState.IDLE, PushState.CONNECTING, PushState.LIVE, PushState.IDLE]
        assert push.status.last_error is None
        assert push.status.bytes_sent > sum(len(unit.payload) for unit in short.units)
        assert "sluice_push_attempts_total 1.0" in generate_latest(push.metrics.registry).decode()
    assert frame_hashes(target.file) == frame_hashes(short.path)
    assert frame_hashes(target.file, "a:0") == frame_hashes(short.path, "a:0")


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_a_stream_of_one_track_is_a_stream(
    kind: str, clips: Path, target: RtmpTarget, tmp_path: Path
) -> None:
    clip = make_clip(
        clips / f"{kind}.flv",
        seconds=5,
        video="320x180" if kind == "video" else None,
        audio_hz=44_100 if kind == "audio" else None,
    )
    async with (
        broadcast(clip, live=False) as source,
        running_push(tmp_path / "p", source, target.url) as push,
    ):
        source.go_on_air()
        await push.until_state(PushState.LIVE)
        await source.played()
        source.end()
        await finish(target)
    stream = f"{kind[0]}:0"
    assert frame_hashes(target.file, stream) == frame_hashes(clip.path, stream)


async def test_a_source_interruption_holds_the_connection(
    short: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with broadcast(short) as source, running_push(tmp_path / "p", source, target.url) as push:
        await push.until_state(PushState.LIVE)
        started_at = push.status.started_at
        await asyncio.sleep(1)
        source.interrupt()
        await push.until_state(PushState.WAITING)
        await asyncio.sleep(3)
        source.go_on_air()
        await push.until_state(PushState.LIVE)
        await source.played()
        source.end()
        await finish(target)
        assert push.status.attempts == 1
        assert started_at is not None
    assert frame_hashes(target.file) == frame_hashes(short.path)


async def test_a_killed_target_is_found_again_and_the_other_push_never_notices(
    long: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    healthy = RtmpTarget(HOST, free_port(HOST), tmp_path / "healthy.flv")
    with listening(healthy):
        async with (
            broadcast(long) as source,
            running_push(tmp_path / "a", source, target.url) as push,
            running_push(tmp_path / "b", source, healthy.url) as other,
        ):
            await push.until_state(PushState.LIVE)
            await other.until_state(PushState.LIVE)
            await asyncio.sleep(2)
            target.kill()
            await push.until_state(PushState.BACKOFF)
            assert class_of(push.status) in ("Closed", "Reset")
            await push.until(lambda status: class_of(status) == "Refused")
            target.start()
            took = await push.until_state(PushState.LIVE, 10)
            print(f"target back: Live after {took:.2f} s")
            assert push.status.reconnects == 1
            await asyncio.sleep(2)
            source.end()
            await finish(target)
            await finish(healthy)
            assert other.status.attempts == 1
            sent = source.pictures
        # The end may cut a B-frame's picture group: the frames sent are those that arrived.
        [first, *cut] = runs(healthy.file, {"long": long.path})
        assert first.first == 0
        assert len(first) + sum(map(len, cut)) == sent
        [again, *cut_again] = runs(target.file, {"long": long.path})
        assert again.first % 25 == 0
        assert (again.last, cut_again) == (first.last, cut)


async def test_a_frozen_target_is_stalled_and_live_again_when_it_thaws(
    long: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with broadcast(long) as source, running_push(tmp_path / "p", source, target.url) as push:
        await push.until_state(PushState.LIVE)
        target.freeze()
        took = await push.until_state(PushState.STALLED, 10)
        print(f"frozen target: Stalled after {took:.2f} s")
        target.thaw()
        took = await push.until_state(PushState.LIVE)
        print(f"thawed: Live after {took:.2f} s")
        assert push.status.attempts == 1


async def test_a_target_that_stays_frozen_is_dialled_anew(
    long: Clip, target: RtmpTarget, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.push.machine.STALL_LIMIT_SECONDS", 2.0)
    async with broadcast(long) as source, running_push(tmp_path / "p", source, target.url) as push:
        await push.until_state(PushState.LIVE)
        target.freeze()
        await push.until_state(PushState.STALLED, 10)
        await push.until_state(PushState.BACKOFF)
        assert class_of(push.status) == "Timeout"
        target.kill()
        target.start()
        await push.until_state(PushState.LIVE, 10)
        assert push.status.reconnects == 1


async def test_a_target_that_is_not_there_yet(long: Clip, tmp_path: Path) -> None:
    target = RtmpTarget(HOST, free_port(HOST), tmp_path / "got.flv")
    async with broadcast(long) as source, running_push(tmp_path / "p", source, target.url) as push:
        await push.until_state(PushState.BACKOFF)
        assert class_of(push.status) == "Refused"
        assert push.status.last_error is not None
        assert "nothing listens" in push.status.last_error.message
        with target:
            await push.until_state(PushState.LIVE)
            assert push.status.reconnects == 0


async def test_a_hub_that_dies_and_comes_back_costs_the_target_nothing(
    short: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    source = Broadcast(FakeHub(port=free_port(HOST)), short)
    async with running_push(tmp_path / "p", source, target.url) as push:
        async with source.hub.listening():
            source.go_on_air()
            await push.until_state(PushState.LIVE)
            await asyncio.sleep(1)
        await push.until_state(PushState.WAITING)
        async with source.hub.listening():
            await push.until_state(PushState.LIVE)
            await source.played()
            source.end()
            await push.until_state(PushState.IDLE)
            await finish(target)
        assert push.status.attempts == 1
    assert frame_hashes(target.file) == frame_hashes(short.path)
