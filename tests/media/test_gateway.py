"""A real encoder (FFmpeg) at the gateway: who is let in, and what a lost hub costs (nothing)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sluice_media.contract import LegEnd
from sluice_media.formats.units import AccessUnit
from tests.support.fake_hub import FakeHub
from tests.support.fake_hub_legs import KEY, FakeLeg
from tests.support.gateway_rig import Rig, until
from tests.support.media_clips import Clip, make_clip

CANARY = "canary-5f1c"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("gateway") / "clip.flv", seconds=5, gop=25)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with Rig(hold_new_seconds=6).running() as rig:
        yield rig


class Encoder:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ended(self, seconds: float = 20) -> tuple[int, str]:
        """Return code and what it had to say."""
        async with asyncio.timeout(seconds):
            _, words = await self._process.communicate()
        return self._process.returncode or 0, words.decode()

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def kill(self) -> None:
        self._process.kill()


@asynccontextmanager
async def encoder(
    rig: Rig, source: Path, key: str = KEY, rate: float = 2
) -> AsyncIterator[Encoder]:
    """FFmpeg publishing a clip as it is, ``rate`` times as fast as it plays."""
    process = await asyncio.create_subprocess_exec(
        *("ffmpeg", "-hide_banner", "-v", "error", "-readrate", str(rate), "-i", str(source)),
        *("-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize"),
        f"rtmp://127.0.0.1:{rig.gateway.port}/namespace/stream?{key}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Encoder(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def payloads(units: list[AccessUnit] | tuple[AccessUnit, ...], track: int) -> list[bytes]:
    return [u.payload for u in units if u.track == track]


def contents(leg: FakeLeg) -> tuple[list[bytes], list[bytes]]:
    return payloads(leg.units, 0), payloads(leg.units, 1)


async def test_every_unit_of_the_encoder_reaches_the_hub_in_order(rig: Rig, clip: Clip) -> None:
    async with encoder(rig, clip.path) as ffmpeg:
        assert await ffmpeg.ended() == (0, "")
    (leg,) = rig.hub.legs
    await until(lambda: leg.ended)
    assert leg.ended == "eof"
    assert contents(leg) == (payloads(clip.units, 0), payloads(clip.units, 1))


async def test_a_wrong_key_is_told_to_the_encoder(rig: Rig, clip: Clip) -> None:
    async with encoder(rig, clip.path, key="wrong") as ffmpeg:
        code, words = await ffmpeg.ended()
    assert code != 0
    assert "BadKey: the stream key is wrong" in words


async def test_a_second_encoder_is_busy_and_the_first_one_untouched(rig: Rig, clip: Clip) -> None:
    async with encoder(rig, clip.path) as first:
        await until(lambda: rig.hub.legs and rig.hub.legs[0].units)
        rig.hub.refuse = (409, None)
        async with encoder(rig, clip.path) as second:
            code, words = await second.ended()
        assert code != 0
        assert "Busy" in words
        assert first.running
        assert await first.ended() == (0, "")
    await until(lambda: rig.hub.legs[0].ended)
    assert contents(rig.hub.legs[0])[0] == payloads(clip.units, 0)


async def test_an_encoder_is_held_while_its_hub_starts(rig: Rig, clip: Clip) -> None:
    await rig.hub.stop()
    async with encoder(rig, clip.path, rate=4) as ffmpeg:
        await asyncio.sleep(1.5)
        assert ffmpeg.running
        await rig.hub.start()
        assert await ffmpeg.ended() == (0, "")
    await until(lambda: rig.hub.legs[0].ended)
    assert contents(rig.hub.legs[0])[0] == payloads(clip.units, 0)


async def test_a_hub_killed_on_air_costs_no_unit_and_is_no_event_for_the_encoder(
    rig: Rig, clip: Clip
) -> None:
    rig.hub.acknowledges = lambda leg: leg.pictures[-1] * 90 if leg.pictures else None
    async with encoder(rig, clip.path) as ffmpeg:
        await until(lambda: rig.hub.legs and len(rig.hub.legs[0].pictures) > 60)
        first = rig.hub.legs[0]
        await rig.hub.stop()
        rig.hub = FakeHub("second")
        await asyncio.sleep(0.5)
        await rig.hub.start()
        assert await ffmpeg.ended() == (0, "")
    (second,) = rig.hub.legs
    await until(lambda: second.ended)
    assert second.ended == "eof"

    resume = second.hello.resume
    assert resume is not None
    assert resume.acked_dts is not None
    assert second.units[0].track == 0
    assert second.units[0].is_random_access
    # From the random access point at or before the acknowledged time: not much more than that,
    # and nothing is missing behind it.
    assert second.units[0].dts <= resume.acked_dts
    assert resume.acked_dts - second.units[0].dts <= 2 * 90_000
    for track in (0, 1):
        got, whole = payloads(second.units, track), payloads(clip.units, track)
        assert got == whole[-len(got) :]
    assert first.pictures[-1] >= second.pictures[0]


async def test_an_encoder_is_cut_when_its_key_is_changed(rig: Rig, clip: Clip) -> None:
    async with encoder(rig, clip.path, rate=1) as ffmpeg:
        await until(lambda: rig.hub.legs and rig.hub.legs[0].units)
        rig.hub.legs[0].end = LegEnd(reason="KeyRotated", message="the key was changed")
        code, _ = await ffmpeg.ended()
    assert code != 0


async def test_a_killed_encoder_ends_its_leg_at_once(rig: Rig, clip: Clip) -> None:
    async with encoder(rig, clip.path, rate=1) as ffmpeg:
        await until(lambda: rig.hub.legs and rig.hub.legs[0].units)
        ffmpeg.kill()
        await until(lambda: rig.hub.legs[0].ended == "eof", 8)


@pytest.mark.parametrize(
    "prepare",
    [
        lambda hub: None,
        lambda hub: setattr(hub, "refuse", (409, None)),
        lambda hub: setattr(hub, "port", 1),
    ],
    ids=["refused", "busy", "no hub"],
)
async def test_a_canary_key_is_in_nothing_that_we_write(
    prepare: Callable[[FakeHub], None], clip: Clip, capfd: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as logs:
        async with Rig(hold_new_seconds=0.5).running() as rig:
            prepare(rig.hub)
            async with encoder(rig, clip.path, key=CANARY) as ffmpeg:
                with contextlib.suppress(TimeoutError):
                    await ffmpeg.ended(6)
    printed = capfd.readouterr()
    assert logs
    assert CANARY not in repr(logs) + printed.out + printed.err
