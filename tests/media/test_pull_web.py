"""Over HTTP and RTSP nothing leads past the guard, and HLS is pulled as smoothly as the rest."""

from __future__ import annotations

import itertools
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest

from sluice_media.net.address_guard import AddressRules, DialGuard
from sluice_media.pull.failures import PullFailure
from sluice_media.pull.proxy import http_proxy
from sluice_media.pull.uri import parse_pull_uri
from tests.support.pull_rig import LOOPBACK, PullRig, RtspSource, make_source_clip, settings
from tests.support.pull_web import WebSource


@pytest.fixture(scope="module")
def hls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Segments of 2 s, a media playlist and a master playlist with two variants."""
    folder = tmp_path_factory.mktemp("hls")
    clip = make_source_clip(folder / "clip.ts", seconds=20)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-f", "hls", "-hls_time", "2",
         "-hls_list_size", "0", str(folder / "media.m3u8")],
        check=True, timeout=60,
    )  # fmt: skip
    return folder


def serve(folder: Path, prefix: str) -> WebSource:
    web = WebSource()
    for path in folder.iterdir():
        web.media[f"{prefix}/{path.name}"] = path.read_bytes()
    return web


async def test_hls_behind_a_redirect_and_a_master_playlist(hls: Path) -> None:
    web = serve(hls, "/deep")
    web.media["/deep/master.m3u8"] = (
        b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=100\nlow.m3u8\n"
        b"#EXT-X-STREAM-INF:BANDWIDTH=900\nmedia.m3u8\n"
    )
    web.redirects["/watch"] = "/deep/master.m3u8"
    rig = PullRig()
    async with web.serving(), rig.pulling(settings(web.url("/watch?x=1"))):
        await rig.until(rig.on_air(0))
        await rig.until(lambda: len(rig.legs[0].pictures) > 100)
        arrivals = rig.legs[0].arrivals
        gaps = [b - a for a, b in itertools.pairwise(arrivals)]
        assert max(gaps) < 1.5, "segments come in bursts, pictures must not"
    assert "/deep/low.m3u8" not in web.requests


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://169.254.169.254/latest/meta-data/", "metadata"),
        ("http://127.0.0.2:{port}/x.ts", "loopback"),
        ("http://[::1]:{port}/x.ts", "loopback"),
        ("http://localhost:{port}/x.ts", "cluster's own"),
        ("file:///etc/passwd", "cannot be pulled over HTTP"),
        ("rtmp://127.0.0.1:{port}/a/b", "cannot be pulled over HTTP"),
    ],
)
async def test_a_redirect_to_what_is_denied_is_refused(location: str, words: str) -> None:
    web = WebSource()
    async with web.serving():
        web.redirects["/live"] = location.format(port=web.port)
        rig = PullRig()
        async with rig.pulling(settings(web.url("/live"))):
            await rig.until(rig.reports(words))
    assert set(web.requests) == {"/live"}


async def test_a_redirect_in_a_circle_ends() -> None:
    web = WebSource()
    web.redirects["/a"] = "/a"
    rig = PullRig()
    async with web.serving(), rig.pulling(settings(web.url("/a"))):
        await rig.until(rig.reports("circle"))


@pytest.mark.parametrize(
    "line",
    [
        "http://127.0.0.2:{port}/seg.ts",
        "file:///etc/passwd",
        "concat:seg.ts|seg.ts",
        "subfile,,start,0,end,9,,:seg.ts",
        '#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.2:{port}/k.key"\n#EXTINF:2,\nseg.ts',
        "#EXT-X-MAP:URI=http://127.0.0.2:{port}/init.mp4\n#EXTINF:2,\nseg.ts",
    ],
)
async def test_a_playlist_cannot_lead_past_the_guard(line: str) -> None:
    outside = WebSource()  # would answer on 127.0.0.1 too: what counts is that nobody asks
    web = WebSource()
    async with web.serving(), outside.serving():
        text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n" + line + "\n#EXT-X-ENDLIST\n"
        web.media["/x.m3u8"] = text.format(port=outside.port).encode()
        rig = PullRig()
        async with rig.pulling(settings(web.url("/x.m3u8"))):
            await rig.until(lambda: rig.status.message is not None)
            assert not any(status.delivers for status in rig.statuses)
    assert outside.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"ffconcat version 1.0\nfile http://127.0.0.2:%d/x.ts\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.2\r\ns=x\r\nc=IN IP4 127.0.0.2\r\nt=0 0\r\n"
        b"m=video %d RTP/AVP 33\r\n",
        b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>'
        b"http://127.0.0.2:%d/</BaseURL></MPD>",
    ],
)
async def test_no_other_format_that_opens_more_is_read(body: bytes) -> None:
    outside, web = WebSource(), WebSource()
    async with web.serving(), outside.serving():
        web.media["/x"] = body % outside.port
        rig = PullRig()
        async with rig.pulling(settings(web.url("/x"))):
            await rig.until(lambda: rig.status.message is not None)
    assert outside.requests == []


async def test_a_name_that_changes_its_address_is_refused_the_second_time(hls: Path) -> None:
    asked: list[str] = []

    async def resolve(name: str) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    web = serve(hls, "")
    web.redirects["/live"] = "http://other.example:{}/media.m3u8"
    async with web.serving():
        web.redirects["/live"] = web.redirects["/live"].format(web.port)
        rig = PullRig()
        async with rig.pulling(settings(web.url("/live", host="cam.example")), resolve):
            await rig.until(rig.reports("metadata"))
    assert asked[:2] == ["cam.example.", "other.example."]
    assert set(web.requests) == {"/live"}


@pytest.mark.parametrize(
    ("status", "words"), [(401, "password"), (403, "forbids"), (404, "no such stream")]
)
async def test_a_refusal_is_told_in_words(status: int, words: str) -> None:
    async with RtspSource(b"", status=status).serving() as source:
        rig = PullRig()
        async with rig.pulling(settings(f"rtsp://127.0.0.1:{source.port}/x")):
            await rig.until(rig.reports(words))


async def test_an_rtsp_redirect_is_refused_with_a_sentence() -> None:
    outside = RtspSource(b"")
    async with outside.serving():
        target = f"rtsp://127.0.0.1:{outside.port}/secret"
        async with RtspSource(b"", redirect=target).serving() as source:
            rig = PullRig()
            async with rig.pulling(settings(f"rtsp://127.0.0.1:{source.port}/x")):
                await rig.until(rig.reports("redirects to another place"))
    assert outside.requests == []


async def test_web_refusals_and_names_that_do_not_resolve() -> None:
    async def resolve(name: str) -> Sequence[str]:
        return []

    web = WebSource()
    async with web.serving():
        rig = PullRig()
        async with rig.pulling(settings(web.url("/gone"))):
            await rig.until(rig.reports("no such stream (404)"))
        for scheme in ("http", "rtmp", "srt", "rtsp"):
            rig = PullRig()
            uri = f"{scheme}://no.example:9999/app/key"
            async with rig.pulling(settings(uri), resolve):
                await rig.until(rig.reports("does not resolve"))


@pytest.mark.parametrize("scheme", ["https", "rtmps", "rtsps"])
async def test_a_source_without_tls_fails_with_its_reason(scheme: str) -> None:
    web = WebSource()
    async with web.serving():
        rig = PullRig()
        uri = f"{scheme}://127.0.0.1:{web.port}/app/key"
        async with rig.pulling(settings(uri)):
            await rig.until(rig.reports("TLS"))


async def test_the_proxy_serves_its_own_child_only() -> None:
    def note(problem: PullFailure) -> None:
        noted.append(problem)

    noted: list[PullFailure] = []
    web = WebSource()
    web.media["/x.ts"] = b"media"
    rules = AddressRules.of(LOOPBACK)
    async with (
        web.serving(),
        http_proxy(
            parse_pull_uri(web.url("/x.ts")), DialGuard(rules), ssl.create_default_context(), note
        ) as proxy,
        aiohttp.ClientSession() as stranger,
    ):
        async with stranger.get(proxy.url, proxy=proxy.proxy_url) as answer:
            assert await answer.read() == b"media"
        for url in (web.url("/x.ts"), proxy.url.replace("http://", "http://a."), proxy.proxy_url):
            async with stranger.get(url, proxy=proxy.proxy_url) as answer:
                assert answer.status == 403
        assert noted
        proxy.hang_up()
        async with stranger.get(proxy.url, proxy=proxy.proxy_url) as answer:
            assert answer.status == 404
    assert web.requests == ["/x.ts"]
