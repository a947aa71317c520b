"""Encoder, gateway and two real hubs: the first one dies, the timeline goes on in the second."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

from prometheus_client import CollectorRegistry

from sluice_media.contract import TimelineFormat
from sluice_media.gateway.server import running_gateway
from sluice_media.gateway.settings import GatewaySettings
from sluice_media.units import AccessUnit
from tests.media.media_clips import make_clip
from tests.unit.gateway.rig import until
from tests.unit.hub.rig import Rig as HubRig


def times(units: list[AccessUnit], track: int) -> list[int]:
    return [u.dts for u in units if u.track == track]


async def test_a_reader_goes_on_at_the_next_hub_without_a_missing_or_repeated_unit(
    tmp_path: Path,
) -> None:
    clip = make_clip(tmp_path / "clip.flv", seconds=7, gop=25, audio_hz=44_100)
    async with AsyncExitStack() as stack:
        first_life = AsyncExitStack()
        first = await first_life.enter_async_context(HubRig().running())
        second = await stack.enter_async_context(HubRig().running())
        url = first.url

        async def locate(namespace: str, stream: str) -> str:
            return url

        settings = GatewaySettings(bind="127.0.0.1", rtmp_port=0)
        gateway = await stack.enter_async_context(
            running_gateway(settings, locate, CollectorRegistry())
        )
        encoder = await asyncio.create_subprocess_exec(
            *("ffmpeg", "-v", "error", "-re", "-i", str(clip.path), "-c", "copy", "-f", "flv"),
            *("-flvflags", "no_duration_filesize"),
            f"rtmp://127.0.0.1:{gateway.port}/namespace/stream?{first.key}",
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            await until(lambda: first.hub.delivering)
            async with first.reading() as before:
                await until(lambda: len(before.units) > 60)
            url = second.url
            await first_life.aclose()
            await until(lambda: second.hub.delivering)
            timeline = before.of(TimelineFormat)[0].timeline
            position = before.units[-1].dts
            async with second.reading(**{"from": f"{timeline}:{position}"}) as after:
                await until(lambda: after.of(TimelineFormat) and len(after.units) > 60)
            assert await encoder.wait() == 0
        finally:
            if encoder.returncode is None:
                encoder.kill()
                await encoder.wait()

    found = after.of(TimelineFormat)[0]
    assert (found.timeline, found.epoch) == (timeline, 2)
    for track, steps in ((0, {3_600}), (1, {2_089, 2_090})):
        joined = times(before.units, track)
        joined += [dts for dts in times(after.units, track) if dts > position]
        assert {b - a for a, b in pairwise(joined)} <= steps
