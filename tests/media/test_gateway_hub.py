"""Encoder, gateway and two real hubs: the first one dies, the timeline goes on in the second."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from sluice_media.contract import TimelineFormat, TimelineGap
from sluice_media.formats.units import AccessUnit
from sluice_media.gateway.server import running_gateway
from sluice_media.gateway.settings import GatewaySettings
from tests.support.gateway_rig import until
from tests.support.hub_rig import Rig as HubRig
from tests.support.media_clips import make_clip

SILENCE = (3.0, 6.6)
"""Seconds of the clip that a source in trouble does not send. It is back within a group of
pictures."""


def times(units: list[AccessUnit], track: int) -> list[int]:
    return [u.dts for u in units if u.track == track]


def with_a_silence(clip: Path) -> Path:
    """The clip without what lies in its silence."""
    path = clip.with_name("silence.flv")
    begin, end = SILENCE
    drop = f"noise=drop='between(pts*tb\\,{begin}\\,{end})'"
    subprocess.run(
        [
            *("ffmpeg", "-v", "error", "-y", "-i", str(clip), "-c", "copy"),
            *("-bsf:v", drop, "-bsf:a", drop, "-f", "flv", str(path)),
        ],
        check=True,
        timeout=60,
    )
    return path


class Broadcast:
    """An encoder, a gateway and the hub that is there at the moment."""

    def __init__(self, first: HubRig, second: HubRig, first_life: AsyncExitStack) -> None:
        self.first, self.second = first, second
        self._first_life = first_life
        self._url = first.url

    async def locate(self, namespace: str, stream: str) -> str:
        return self._url

    async def lose_first_hub(self) -> None:
        self._url = self.second.url
        await self._first_life.aclose()


@asynccontextmanager
async def broadcast(clip: Path) -> AsyncIterator[Broadcast]:
    """Publish a clip in real time, to its end."""
    async with AsyncExitStack() as stack:
        first_life = AsyncExitStack()
        first = await first_life.enter_async_context(HubRig().running())
        second = await stack.enter_async_context(HubRig().running())
        on_air = Broadcast(first, second, first_life)
        settings = GatewaySettings(bind="127.0.0.1", rtmp_port=0)
        gateway = await stack.enter_async_context(
            running_gateway(settings, on_air.locate, CollectorRegistry())
        )
        encoder = await asyncio.create_subprocess_exec(
            *("ffmpeg", "-v", "error", "-re", "-i", str(clip), "-c", "copy", "-f", "flv"),
            *("-flvflags", "no_duration_filesize"),
            f"rtmp://127.0.0.1:{gateway.port}/namespace/stream?{first.key}",
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            await until(lambda: first.hub.delivering)
            yield on_air
            assert await encoder.wait() == 0
        finally:
            if encoder.returncode is None:
                encoder.kill()
                await encoder.wait()


async def test_a_reader_goes_on_at_the_next_hub_without_a_missing_or_repeated_unit(
    tmp_path: Path,
) -> None:
    clip = make_clip(tmp_path / "clip.flv", seconds=7, gop=25, audio_hz=44_100)
    async with broadcast(clip.path) as on_air:
        second = on_air.second
        async with on_air.first.reading() as before:
            await until(lambda: len(before.units) > 60)
        await on_air.lose_first_hub()
        await until(lambda: second.hub.delivering)
        timeline = before.of(TimelineFormat)[0].timeline
        position = before.units[-1].dts
        async with second.reading(**{"from": f"{timeline}:{position}"}) as after:
            await until(lambda: after.of(TimelineFormat) and len(after.units) > 60)

    found = after.of(TimelineFormat)[0]
    assert (found.timeline, found.epoch) == (timeline, 2)
    for track, steps in ((0, {3_600}), (1, {2_089, 2_090})):
        joined = times(before.units, track)
        joined += [dts for dts in times(after.units, track) if dts > position]
        assert {b - a for a, b in pairwise(joined)} <= steps


async def test_a_hub_that_is_lost_after_a_silence_is_followed_by_one_that_puts_all_in_its_place(
    tmp_path: Path,
) -> None:
    """A recorder that holds nothing of what came shortly before the silence has it from the next
    hub as it would have had it from the first, and hears of the gap."""
    clip = make_clip(tmp_path / "clip.flv", seconds=13, gop=25, audio_hz=44_100)
    async with broadcast(with_a_silence(clip.path)) as on_air:
        async with on_air.first.reading() as before:
            await until(lambda: before.of(TimelineGap) and before.units[-1].dts > 5.5 * 90_000)
        await on_air.lose_first_hub()
        await until(lambda: on_air.second.hub.delivering)
        timeline = before.of(TimelineFormat)[0].timeline
        held = 2 * 90_000
        async with on_air.second.reading(**{"from": f"{timeline}:{held}"}) as after:
            await until(lambda: after.units and after.units[-1].dts > 7 * 90_000)

    assert after.of(TimelineFormat)[0].timeline == timeline
    [gap], [again] = before.of(TimelineGap), after.of(TimelineGap)
    assert again.dts == gap.dts
    assert again.wall_seconds == pytest.approx(gap.wall_seconds, abs=0.01)
    assert gap.wall_seconds == pytest.approx(SILENCE[1] + 0.4 - SILENCE[0], abs=1)
    until_dts = before.units[-1].dts
    for track in (0, 1):
        first = [(u.dts, u.payload) for u in before.units if u.track == track and u.dts > held]
        second = [(u.dts, u.payload) for u in after.units if u.track == track and u.dts > held]
        both = [unit for unit in second if unit[0] <= until_dts]
        assert both == [unit for unit in first if unit[0] <= until_dts]
        assert len(both) > 60
