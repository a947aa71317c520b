"""A pusher dials nothing before the operator has compared its target with those of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluice_media.contract import PushState, target_clearance
from tests.support.fake_hub import TOKEN
from tests.support.media_clips import Clip, make_clip
from tests.support.push_rig import broadcast, running_push
from tests.support.target import RtmpTarget, free_port

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    folder = tmp_path_factory.mktemp("clips")
    return make_clip(folder / "clip.flv", seconds=20, video="320x180", gop=25)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[RtmpTarget]:
    with RtmpTarget(HOST, free_port(HOST), tmp_path / "target.flv") as made:
        yield made


async def test_a_target_is_shown_then_cleared_then_dialled(
    clip: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with (
        broadcast(clip) as source,
        running_push(tmp_path / "p", source, target.url, cleared_target="") as push,
    ):
        digest = push.status.target_digest
        assert len(digest) == 16
        await asyncio.sleep(1)
        assert push.status.idle_reason == "CheckingTarget"
        assert push.status.attempts == 0
        cleared = target_clearance(digest, TOKEN)
        push.configure(target.url, key="key", cleared_target=cleared)
        await push.until_state(PushState.LIVE)
        (push.keys / "streamkey" / "key").write_text("another")
        await asyncio.sleep(1)
        assert push.status.state is PushState.LIVE, "a changed Secret cuts nobody"
        assert push.status.target_digest == digest, "what is claimed is where it is connected"
        target.kill()
        await push.until(lambda status: status.idle_reason == "CheckingTarget", 10)
        assert push.status.target_digest != digest
        assert push.status.attempts == 1, "what was cleared was another target"
        target.start()
        another = target_clearance(push.status.target_digest, TOKEN)
        push.configure(target.url, key="another", cleared_target=another)
        await push.until_state(PushState.LIVE)
