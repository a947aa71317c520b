"""Sources of every protocol are pulled in turn, and no fault of one ends the pull."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from sluice_media.contract import AddressGuard, GivenUp
from tests.support.black_hole import black_hole
from tests.support.ports import free_port, free_udp_port
from tests.support.pull_rig import (
    PullRig,
    RtspSource,
    make_source_clip,
    playing,
    settings,
)
from tests.support.pull_web import WebSource


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source_clip(tmp_path_factory.mktemp("clip") / "clip.ts")


@contextmanager
def rtmp(clip: Path, name: str = "key", seconds: float | None = None) -> Iterator[str]:
    port = free_port()
    uri = f"rtmp://127.0.0.1:{port}/app/{name}"
    with playing(clip, "-f", "flv", "-listen", "1", uri, seconds=seconds):
        yield uri


def children() -> list[int]:
    """FFmpeg processes that a pull started."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid() and b"pipe:1" in words:
            found.append(int(entry.name))
    return found


@pytest.mark.long
async def test_each_protocol_is_on_air_with_picture_and_sound(clip: Path) -> None:
    web = WebSource()
    web.media["/live.ts"] = clip.read_bytes()
    srt = free_udp_port()
    with (
        rtmp(clip) as rtmp_uri,
        playing(clip, "-f", "mpegts", f"srt://127.0.0.1:{srt}?mode=listener"),
    ):
        async with RtspSource(clip.read_bytes()).serving() as rtsp, web.serving():
            await asyncio.sleep(1)
            for uri in (
                rtmp_uri,
                f"srt://127.0.0.1:{srt}?streamid=camera",
                f"rtsp://127.0.0.1:{rtsp.port}/cam?channel=1",
                web.url("/live.ts"),
            ):
                rig = PullRig()
                async with rig.pulling(settings(uri)):
                    await rig.until(rig.on_air(0))
                    await rig.until(lambda rig=rig: len(rig.legs[0].pictures) > 40)  # type: ignore[misc]
                    kinds = {known.track for known in rig.legs[0].demuxer.formats}
                    assert kinds == {0, 1}, uri
                    assert rig.legs[0].demuxer.continuity_errors == 0
                    times = [unit.dts for unit in rig.legs[0].pictures]
                    steps = {b - a for a, b in itertools.pairwise(times)}
                    assert all(3_500 <= step <= 3_700 for step in steps), (uri, steps)


async def test_a_source_whose_first_address_is_dead_is_pulled_from_the_second(clip: Path) -> None:
    async def two_addresses(_: str) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    web = WebSource()
    web.media["/live.ts"] = clip.read_bytes()
    srt = free_udp_port()
    with (
        rtmp(clip) as rtmp_uri,
        playing(clip, "-f", "mpegts", f"srt://127.0.0.1:{srt}?mode=listener"),
    ):
        async with web.serving():
            await asyncio.sleep(1)
            rtmp_port = int(rtmp_uri.split(":")[2].partition("/")[0])
            with black_hole("127.0.0.2", rtmp_port), black_hole("127.0.0.2", web.port):
                for uri, tries in (
                    (rtmp_uri.replace("127.0.0.1", "two.example"), 1),
                    (web.url("/live.ts", host="two.example"), 1),
                    # FFmpeg's SRT takes one address: the next try calls the next one.
                    (f"srt://two.example:{srt}", 2),
                ):
                    rig = PullRig()
                    guard = AddressGuard(allowed=["127.0.0.0/8"])
                    async with rig.pulling(settings(uri, guard=guard), two_addresses):
                        took = await rig.until(rig.on_air(0), 20)
                    print(f"dead first address: {uri[:4]} on air after {took:.2f} s")
                    failed = sum(rig.tries(outcome) for outcome in ("Timeout", "Stalled"))
                    assert failed == tries - 1, uri


async def test_dead_then_stalling_then_good(clip: Path) -> None:
    dead = f"rtmp://127.0.0.1:{free_port()}/app/key"
    web = WebSource()
    web.media["/stalls.ts"] = clip.read_bytes()
    web.stall_after_seconds = 5
    rig = PullRig()
    with rtmp(clip) as good:
        async with web.serving():
            await asyncio.sleep(0.5)
            async with rig.pulling(settings(dead, web.url("/stalls.ts"), good)):
                took = await rig.until(rig.on_air(2), 60)
    print(f"on air from the third after {took:.2f} s")
    assert rig.reports("Uri 0", "refuses connections")()
    assert rig.reports("Uri 1", "fell silent")()
    # 8 s on an idle machine; the one that stalls had 5 of them.
    assert took < 30


async def test_when_the_good_one_stops_the_circle_goes_on(clip: Path) -> None:
    dead = f"rtmp://127.0.0.1:{free_port()}/app/key"
    rig = PullRig()
    with rtmp(clip) as second, ExitStack() as first_source:
        first = first_source.enter_context(rtmp(clip))
        await asyncio.sleep(0.7)
        async with rig.pulling(settings(dead, first, second)):
            await rig.until(rig.on_air(1))
            first_source.close()
            await rig.until(rig.on_air(2))
            assert [leg.index for leg in rig.legs] == [1, 2]
            assert rig.legs[0].closed is not None


async def test_a_warm_standby_takes_over(clip: Path) -> None:
    rig = PullRig()
    with ExitStack() as sources:
        process = sources.enter_context(
            playing(clip, "-f", "flv", "-listen", "1", uri := f"rtmp://127.0.0.1:{free_port()}/a/k")
        )
        other = sources.enter_context(rtmp(clip))
        await asyncio.sleep(0.7)
        async with rig.pulling(settings(uri, other, warm=True)):
            await rig.until(lambda: len(rig.legs) == 2 and rig.legs[1].delivers)
            assert rig.status.standby_index == 1
            await asyncio.sleep(1)
            process.send_signal(signal.SIGSTOP)
            try:
                await rig.until(rig.on_air(1))
            finally:
                process.send_signal(signal.SIGCONT)
    old, new = rig.legs[:2]
    assert new.taken_over_at is not None
    gap = new.taken_over_at - old.arrivals[-1]
    print(f"warm switch {gap:.2f} s after the last picture")
    assert gap < 3
    assert new.standby


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_child_that_is_killed_or_frozen_is_replaced(clip: Path, blow: int) -> None:
    rig = PullRig()
    with rtmp(clip) as first, rtmp(clip) as second:
        await asyncio.sleep(0.7)
        async with rig.pulling(settings(first, second)):
            await rig.until(rig.on_air(0))
            (pid,) = children()
            os.kill(pid, blow)
            await rig.until(rig.on_air(1))
    assert pid not in children()


@pytest.mark.parametrize("kind", ["noise", "page", "nothing", "http-noise"])
async def test_garbage_is_no_media(kind: str, clip: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write({"noise": os.urandom(300_000), "nothing": b""}.get(kind, b"x" * 99))
        writer.close()

    web = WebSource()
    web.media["/page"] = b"<html>" * 100
    web.media["/noise"] = os.urandom(300_000)
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with web.serving():
        uri = {"page": web.url("/page"), "http-noise": web.url("/noise")}.get(
            kind, f"rtsp://127.0.0.1:{port}/x"
        )
        rig = PullRig()
        async with rig.pulling(settings(uri)):
            await rig.until(lambda: rig.status.message is not None, 25)
            assert not any(status.delivers for status in rig.statuses)
    server.close()


async def test_a_source_at_a_hundred_times_its_speed_is_slowed_down(clip: Path) -> None:
    web = WebSource()
    web.media["/file.ts"] = clip.read_bytes()
    rig = PullRig()
    async with web.serving(), rig.pulling(settings(web.url("/file.ts"))):
        await rig.until(rig.on_air(0))
        began = time.monotonic()
        await asyncio.sleep(4)
        await rig.until(lambda: len(rig.legs[0].pictures) > 2.5 * 25)
        seconds = len(rig.legs[0].pictures) / 25
        took = time.monotonic() - began
    assert seconds < took + 4


async def test_audio_that_is_not_aac_is_encoded(tmp_path: Path) -> None:
    clip = make_source_clip(tmp_path / "clip.ts", seconds=20, audio="mp2")
    web = WebSource()
    web.media["/mp2.ts"] = clip.read_bytes()
    rig = PullRig()
    async with web.serving(), rig.pulling(settings(web.url("/mp2.ts"))):
        await rig.until(rig.on_air(0))
        await rig.until(lambda: len(rig.legs[0].demuxer.formats) == 2)
    assert len(rig.legs) == 1


async def test_video_that_cannot_be_carried_is_named(tmp_path: Path) -> None:
    clip = make_source_clip(tmp_path / "clip.ts", seconds=5, video="mpeg2video")
    web = WebSource()
    web.media["/old.ts"] = clip.read_bytes()
    rig = PullRig()
    async with web.serving(), rig.pulling(settings(web.url("/old.ts"))):
        await rig.until(rig.reports("neither H.264 nor HEVC"))
    assert not rig.legs


async def test_settings_that_change_replace_only_what_changed(clip: Path) -> None:
    rig = PullRig()
    dead = f"rtmp://127.0.0.1:{free_port()}/app/key"
    with rtmp(clip) as good:
        await asyncio.sleep(0.7)
        async with rig.pulling(settings(good, dead)):
            await rig.until(rig.on_air(0))
            rig.configure(settings(dead, good, generation=2))
            await rig.until(rig.on_air(1))
            assert len(rig.legs) == 1
            assert rig.legs[0].closed is None
            rig.configure(None)
            await rig.until(lambda: rig.legs[0].closed is not None)
            assert rig.status.uri_index is None
            await rig.until(lambda: not children())


SECRET = "CANARY9f31b7"


async def test_what_an_earlier_process_gave_up_is_not_dialled_until_it_is_asked_for(
    clip: Path,
) -> None:
    web = WebSource()
    web.media["/live.ts"] = clip.read_bytes()
    rig = PullRig()
    async with web.serving():
        given_up = settings(web.url("/live.ts"), given_up=True)
        async with rig.pulling(given_up):
            await rig.until(lambda: rig.status.given_up is not None)
            assert rig.status.given_up == GivenUp(generation=1)
            await asyncio.sleep(1)
            assert not web.requests
            rig.configure(settings(web.url("/live.ts"), restart="again"))
            await rig.until(rig.on_air(0))
            assert rig.status.given_up is None


async def test_after_inactivity_the_status_says_under_what_it_was_given_up() -> None:
    rig = PullRig()
    uri = f"http://127.0.0.1:{free_port()}/live.ts"
    async with rig.pulling(settings(uri, generation=7, restart="x", inactivity_seconds=1.0)):
        await rig.until(lambda: rig.status.given_up is not None)
        assert rig.status.given_up == GivenUp(generation=7, restart="x")
        assert not children()


async def test_a_key_is_seen_nowhere(clip: Path) -> None:
    seen: list[bytes] = []
    web = WebSource()
    web.media["/x.ts"] = clip.read_bytes()
    web.login = ("user", SECRET)
    srt = free_udp_port()
    with capture_logs() as logs, rtmp(clip, SECRET) as good:
        # The rig's own source has the key in its arguments; only children of the pull count.
        async with web.serving(), RtspSource(b"x", status=404).serving() as rtsp:
            await asyncio.sleep(0.7)
            uris = (
                web.url("/x.ts").replace("//", f"//user:{SECRET}@") + f"?t={SECRET}",
                web.url(f"/{SECRET}"),
                f"rtsp://u:{SECRET}@127.0.0.1:{rtsp.port}/{SECRET}",
                f"srt://127.0.0.1:{srt}?streamid={SECRET}&passphrase={SECRET}",
                f"rtmp://127.0.0.1:{free_port()}/{SECRET}/{SECRET}",
                f"rtmp://{SECRET}.invalid/app/{SECRET}".replace(SECRET, "x", 1),
                f"file://{SECRET}",
                good,
            )
            for uri in uris:
                rig = PullRig()
                async with rig.pulling(settings(uri)):
                    for _ in range(80):
                        await asyncio.sleep(0.1)
                        seen += _visible(children())
                        if rig.statuses and (rig.status.delivers or rig.status.message):
                            break
                    assert rig.status.delivers or rig.status.message, uris.index(uri)
                seen.append(generate_latest(rig.registry))
                seen += [status.to_json().encode() for status in rig.statuses]
                seen += [str(leg.closed).encode() for leg in rig.legs]
    assert seen
    assert SECRET not in str(logs)
    assert not [text for text in seen if SECRET.encode() in text]


def _visible(pids: Sequence[int]) -> list[bytes]:
    found = []
    for pid in pids:
        try:
            found += [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue
    return found


async def test_a_denied_address_is_named_with_its_rule() -> None:
    for uri, words in (
        ("rtmp://127.0.0.1/app/key", "loopback"),
        ("http://[::ffff:169.254.169.254]/latest", "metadata"),
        ("srt://10.96.0.1:9000", "10.96.0.0/12"),
        ("rtsp://db.ns.svc.cluster.local/x", "cluster's own"),
    ):
        rig = PullRig()
        guard = AddressGuard(denied=["10.96.0.0/12"])
        async with rig.pulling(settings(uri, guard=guard)):
            await rig.until(rig.reports("not allowed", words))
        assert rig.tries("NotAllowed") >= 1
