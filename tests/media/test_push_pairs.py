"""Every source to every target: what a stream holds arrives, every frame, in order, none twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sluice_media.contract import PushState
from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.mpegts.demux import TsDemuxer
from sluice_media.formats.units import AccessUnit, Codec
from sluice_media.timeline.framing import track_formats
from tests.media.test_mpegts_demux import demux, make_ts
from tests.support.broadcast_rig import KEY, BroadcastRig, Received, broadcast_rig
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.push_peers import Authority, nginx_rtmp, srt_target, tls_in_front
from tests.support.push_rig import broadcast, finish, listening, running_push
from tests.support.target import RtmpTarget, free_port

HOST = "127.0.0.1"
CANARY = "canary-5f2e9c-stream-key"
SOURCES = ("H.264 from FLV", "H.264 from TS", "HEVC from TS")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    folder = tmp_path_factory.mktemp("sources")
    flv = make_clip(folder / "h264.flv", seconds=2, video="320x180", gop=25)
    return {
        "H.264 from FLV": flv,
        "H.264 from TS": read_ts(make_ts(folder / "h264.ts")),
        "HEVC from TS": read_ts(make_ts(folder / "hevc.ts", video="hevc")),
    }


def read_ts(path: Path) -> Clip:
    demuxer = TsDemuxer()
    units = sorted(
        (e for e in demux(path, demuxer) if isinstance(e, AccessUnit)), key=lambda u: u.dts
    )
    return Clip(path, demuxer.formats, tuple(units))


def received_hashes(received: Received, folder: Path, stream: str) -> list[str]:
    """Of what a reader of the target's own hub got."""
    muxer = TsMuxer(track_formats(received.formats[-1].tracks))
    file = folder / "received.ts"
    file.write_bytes(b"".join(muxer.write(unit) for unit in received.units))
    return frame_hashes(file, stream)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BroadcastRig]:
    folder = tmp_path / "rig"
    folder.mkdir()
    async with broadcast_rig(folder) as made:
        yield made


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["rtmp", "rtmps", "srt"])
async def test_a_stream_of_our_own_gets_every_frame_of_every_source(
    protocol: str, sources: dict[str, Clip], rig: BroadcastRig, tmp_path: Path
) -> None:
    ca = (tmp_path / "rig/tls/tls.crt").read_text()
    uri, key, fields = {
        "rtmp": (rig.server, f"news?{KEY}", {}),
        "rtmps": (f"rtmps://{HOST}:{rig.rtmps_port}/ns", f"news?{KEY}", {"has_ca": True}),
        "srt": (f"srt://{HOST}:{rig.srt_port}?latency=200", f"ns/news?{KEY}", {}),
    }[protocol]
    for name in SOURCES:
        clip = sources[name]
        async with (
            rig.reading() as received,
            broadcast(clip, live=False) as source,
            running_push(tmp_path / name, source, uri, key, ca=ca, **fields) as push,
        ):
            source.go_on_air()
            await push.until_state(PushState.LIVE)
            await source.played()
            source.end()
            await push.until_state(PushState.IDLE, 10)
            await rig.until(lambda status: not (status.on_air or status.interrupted), 10)
            # Over SRT a gateway that cannot look a stream up at once asks to be dialled again.
            assert push.status.reconnects == 0
            assert "canary" not in push.board.answer()
        assert received.formats[0].tracks[0].codec == clip.formats[0].codec
        for stream in ("v:0", "a:0"):
            assert received_hashes(received, tmp_path, stream) == frame_hashes(clip.path, stream)
    assert "canary" not in rig.logs()


async def test_ffmpeg_behind_tls_gets_every_frame(sources: dict[str, Clip], tmp_path: Path) -> None:
    clip = sources["H.264 from FLV"]
    authority = Authority(tmp_path)
    target = RtmpTarget(HOST, free_port(HOST), tmp_path / "got.flv")
    port = int(target.url.split(":")[2].partition("/")[0])
    with listening(target):
        async with (
            tls_in_front(port, authority.server()) as place,
            broadcast(clip, live=False) as source,
            running_push(
                tmp_path / "p", source, f"rtmps://{place}/live", ca=authority.pem, has_ca=True
            ) as push,
        ):
            source.go_on_air()
            await push.until_state(PushState.LIVE)
            await source.played()
            source.end()
            await push.until_state(PushState.IDLE)
            await finish(target)
    assert frame_hashes(target.file) == frame_hashes(clip.path)


@pytest.mark.parametrize("name", ["H.264 from FLV", "H.264 from TS"])
@pytest.mark.parametrize("protocol", ["rtmp", "rtmps"])
async def test_nginx_gets_every_frame(
    protocol: str, name: str, sources: dict[str, Clip], tmp_path: Path
) -> None:
    clip, authority = sources[name], Authority(tmp_path)
    trust: dict[str, Any] = {"ca": authority.pem, "has_ca": True} if protocol == "rtmps" else {}
    with nginx_rtmp(tmp_path / "nginx") as nginx:
        async with (
            tls_in_front(nginx.port, authority.server()) as place,
            broadcast(clip, live=False) as source,
            running_push(
                *(tmp_path / "p", source),
                f"rtmps://{place}/kept" if protocol == "rtmps" else nginx.uri("kept"),
                CANARY,
                **trust,
            ) as push,
        ):
            source.go_on_air()
            await push.until_state(PushState.LIVE)
            await source.played()
            source.end()
            await push.until_state(PushState.IDLE)
            await asyncio.sleep(0.5)  # it says nothing when its file is whole
        [file] = nginx.kept(CANARY)
    for stream in ("v:0", "a:0"):
        assert frame_hashes(file, stream) == frame_hashes(clip.path, stream)


@pytest.mark.parametrize("kind", ["srt-live-transmit", "ffmpeg"])
@pytest.mark.parametrize("name", ["H.264 from FLV", "HEVC from TS"])
async def test_srt_listeners_get_every_frame(
    kind: str, name: str, sources: dict[str, Clip], tmp_path: Path
) -> None:
    clip = sources[name]
    file = tmp_path / "got.ts"
    options = f"&passphrase={CANARY}" if kind == "ffmpeg" else ""
    with srt_target(kind, free_port(HOST), file, options) as target:
        async with (
            broadcast(clip, live=False) as source,
            running_push(
                *(tmp_path / "p", source, target.url, None),
                passphrase=CANARY if options else None,
                has_passphrase=bool(options),
            ) as push,
        ):
            await asyncio.sleep(0.5)  # there is no way to see a UDP listener ready
            source.go_on_air()
            await push.until_state(PushState.LIVE)
            await source.played()
            source.end()
            await push.until_state(PushState.IDLE)
            await asyncio.sleep(0.5)
        target.end()
    assert frame_hashes(file) == frame_hashes(clip.path)
    assert clip.formats[0].codec in (Codec.H264, Codec.HEVC)
