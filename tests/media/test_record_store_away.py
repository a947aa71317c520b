"""A recorder that begins while its store does not answer: what it says is true, and what is on
air is kept. The store is a real S3 server behind a proxy that breaks things."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sluice_media.contract import (
    S3_ACCESS_KEY_FILE,
    S3_SECRET_KEY_FILE,
    DesiredState,
    RecorderPhase,
)
from tests.support.fake_hub import FakeHub, running_hub
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.recorder_rig import RecorderRig, recorder_rig
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, s3_server
from tests.support.s3_proxy import Fault, Kind, S3Proxy, s3_proxy


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clip")
    return make_clip(folder / "av.flv", seconds=40, gop=50, video="320x180")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@asynccontextmanager
async def recording(
    folder: Path, server: S3Server
) -> AsyncIterator[tuple[FakeHub, RecorderRig, S3Proxy]]:
    """A recorder whose objects can be read below ``server.objects`` as well."""
    server.empty()
    async with (
        s3_proxy(server.port) as proxy,
        running_hub() as hub,
        recorder_rig(
            folder,
            hub.port,
            store=server.objects,
            s3=server.s3(proxy.listens_at, has_credentials=True),
        ) as rig,
    ):
        for name, value in ((S3_ACCESS_KEY_FILE, ACCESS_KEY), (S3_SECRET_KEY_FILE, SECRET_KEY)):
            (folder / "keys" / name).parent.mkdir(exist_ok=True)
            (folder / "keys" / name).write_text(value)
        yield hub, rig, proxy


async def finish(rig: RecorderRig) -> list[str]:
    """Stops; the pictures of the one file."""
    await asyncio.sleep(0.6)
    rig.configure(desired_state=DesiredState.STOPPED)
    assert await rig.exit_code() == 0
    result = await rig.finished()
    assert [file.gaps for file in result.files] == [[]]
    return frame_hashes(rig.mp4())


@pytest.mark.long
@pytest.mark.parametrize("kind", ["Down", "Stall"])
async def test_a_process_that_starts_again_goes_on_from_what_its_pod_knows(
    tmp_path: Path, server: S3Server, clip: Clip, kind: Kind
) -> None:
    async with recording(tmp_path, server) as (hub, rig, proxy):
        await rig.start()
        hub.begin(clip.formats, "t1")
        playing = asyncio.create_task(hub.play(clip.units, speed=2))
        await rig.until(lambda s: s.recording_duration > 8 and bool(hub.acks))
        proxy.fault = Fault(kind)
        before = await rig.recorded(10)
        rig.kill()
        await rig.exit_code()
        await rig.start()
        status = await rig.until(lambda s: not s.earlier_unknown, 30)
        assert status.recording_duration > 5, "the chunks in the store and on the disk count"
        assert status.recording_started_at == before.recording_started_at
        status = await rig.until(
            lambda s: s.recording_duration > 20 and s.store_error_reason is not None, 60
        )
        assert status.phase is RecorderPhase.RECORDING
        assert status.pending_bytes > 0
        proxy.fault = None
        await playing
        await rig.until(lambda s: s.recording_duration > 39.9 and s.store_error is None, 90)
        hashes = await finish(rig)
    assert hashes == frame_hashes(clip.path)


@pytest.mark.long
async def test_another_pod_says_that_it_cannot_know(
    tmp_path: Path, server: S3Server, clip: Clip
) -> None:
    async with recording(tmp_path, server) as (hub, rig, proxy):
        await rig.start()
        hub.begin(clip.formats, "t1")
        playing = asyncio.create_task(hub.play(clip.units, speed=2))
        await rig.until(lambda s: s.recording_duration > 8 and bool(hub.acks))
        proxy.fault = Fault("Down")
        rig.kill()
        await rig.exit_code()
        shutil.rmtree(tmp_path / "spool")
        await rig.start()
        status = await rig.until(lambda s: s.store_error is not None, 30)
        assert status.earlier_unknown
        assert status.store_error_reason == "Unreachable"
        proxy.fault = None
        status = await rig.until(lambda s: not s.earlier_unknown)
        assert status.recording_duration > 3, "the chunk of 4 s that the store has"
        await playing
        await rig.recorded(39.9)
        hashes = await finish(rig)
    assert hashes == frame_hashes(clip.path)
