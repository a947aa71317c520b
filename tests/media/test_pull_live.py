"""Sources that are live, as broadcasters have them: playlists that move on, FLV over HTTP, RTMPS,
and a camera's RTSP with a track each for picture and sound."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.media.test_pull_tls import NAME, behind_tls, certificate, here, trusting
from tests.support.ports import free_port
from tests.support.pull_rig import PullRig, make_source_clip, playing, settings
from tests.support.pull_web import WebSource

__all__ = ["certificate"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source_clip(tmp_path_factory.mktemp("clip") / "clip.ts", seconds=60)


async def is_whole(rig: PullRig, pictures: int = 100) -> None:
    """On air with picture and sound, evenly, and no picture twice or missing."""
    await rig.until(rig.on_air(0))
    await rig.until(lambda: len(rig.legs[0].pictures) > pictures, 30)
    (leg,) = rig.legs
    assert {known.track for known in leg.demuxer.formats} == {0, 1}
    assert leg.demuxer.continuity_errors == 0
    times = [unit.dts for unit in leg.pictures]
    assert all(3_500 <= b - a <= 3_700 for a, b in itertools.pairwise(times))


@pytest.mark.parametrize("segments", ["mpegts", "fmp4"])
async def test_a_playlist_that_moves_on_is_pulled_without_a_hole(
    segments: str, clip: Path, tmp_path: Path
) -> None:
    web = WebSource(folder=tmp_path)
    output = ["-f", "hls", "-hls_time", "1", "-hls_list_size", "4", "-hls_segment_type", segments]
    output += ["-hls_flags", "delete_segments"]
    if segments == "fmp4":
        output += ["-bsf:a", "aac_adtstoasc"]
    with playing(clip, *output, str(tmp_path / "live.m3u8")):
        async with web.serving():
            while not (tmp_path / "live.m3u8").exists():
                await asyncio.sleep(0.1)
            await asyncio.sleep(2)
            rig = PullRig()
            async with rig.pulling(settings(web.url("/live.m3u8"))):
                await is_whole(rig, 200)
    assert web.requests.count("/live.m3u8") > 3
    # The first segments were deleted long before the last ones were there.
    assert not list(tmp_path.glob("live0.*"))


async def test_flv_over_http_is_on_air(clip: Path) -> None:
    port = free_port()
    output = ("-f", "flv", "-listen", "1", "-content_type", "video/x-flv")
    with playing(clip, *output, f"http://127.0.0.1:{port}/live.flv"):
        await asyncio.sleep(0.7)
        rig = PullRig()
        async with rig.pulling(settings(f"http://127.0.0.1:{port}/live.flv")):
            await is_whole(rig)


async def test_rtmps_of_a_private_authority_is_on_air(clip: Path, certificate: Path) -> None:
    plain = free_port()
    with playing(clip, "-f", "flv", "-listen", "1", f"rtmp://127.0.0.1:{plain}/app/key"):
        await asyncio.sleep(0.7)
        async with behind_tls(certificate, plain) as port:
            rig = PullRig()
            rig.tls = trusting(certificate)
            async with rig.pulling(settings(f"rtmps://{NAME}:{port}/app/key"), here):
                await is_whole(rig)


class Camera:
    """RTSP with H.264 (RFC 6184) and AAC (RFC 3640) over its own connection: FFmpeg makes the RTP,
    this hands it on interleaved (RFC 2326, 10.12)."""

    def __init__(self, clip: Path, folder: Path) -> None:
        self._clip = clip
        self._sdp = folder / "camera.sdp"
        self._sockets: list[socket.socket] = []
        self.port = 0

    @contextmanager
    def _rtp(self) -> Iterator[None]:
        self._sockets.clear()
        self._sdp.unlink(missing_ok=True)
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                one.bind(("127.0.0.1", 0))
                one.setblocking(False)
                self._sockets.append(one)
            video, audio = (f"rtp://127.0.0.1:{s.getsockname()[1]}" for s in self._sockets)
            output = ["-sdp_file", str(self._sdp)]
            output += ["-map", "0:v", "-f", "rtp", video]
            output += ["-map", "0:a", "-c", "copy", "-f", "rtp", audio]
            stack.enter_context(playing(self._clip, *output))
            yield

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Camera]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), self._rtp():
            await self._talk(reader, writer)
        writer.close()

    async def _describe(self) -> str:
        while not self._sdp.exists() or self._sdp.read_text().count("m=") < 2:
            await asyncio.sleep(0.05)
        lines, tracks = [], itertools.count()
        for line in self._sdp.read_text().splitlines():
            if line.startswith(("v=", "o=", "s=", "c=", "t=", "m=", "b=", "a=rtpmap", "a=fmtp")):
                lines.append(line)
            if line.startswith("m="):
                lines.append(f"a=control:track{next(tracks)}")
        return "\r\n".join([*lines, ""])

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sending: list[asyncio.Task[None]] = []
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, url = head.split()[:2]
                sequence = next(x for x in head.split("\r\n") if x.lower().startswith("cseq"))
                lines, body = [sequence, "Session: 1"], ""
                if method == "DESCRIBE":
                    body = await self._describe()
                    lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
                elif method == "SETUP":
                    first = 2 * int(url[-1])
                    told = f"interleaved={first}-{first + 1}"
                    lines.append(f"Transport: RTP/AVP/TCP;unicast;{told}")
                writer.write("\r\n".join(["RTSP/1.0 200 OK", *lines, "", body]).encode())
                if method == "PLAY":
                    for number, one in enumerate(self._sockets):
                        channel = bytes((2 * number,))
                        sending.append(asyncio.create_task(self._send(one, channel, writer)))
        finally:
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def _send(
        self, source: socket.socket, channel: bytes, writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            packet = await loop.sock_recv(source, 65_536)
            writer.write(b"$" + channel + len(packet).to_bytes(2, "big") + packet)
            await writer.drain()


async def test_a_camera_with_a_track_each_for_picture_and_sound_is_on_air(tmp_path: Path) -> None:
    clip = make_source_clip(tmp_path / "clip.mp4", b_frames=0)
    async with Camera(clip, tmp_path).serving() as camera:
        rig = PullRig()
        async with rig.pulling(settings(f"rtsp://127.0.0.1:{camera.port}/cam")):
            await rig.until(rig.on_air(0))
            await rig.until(lambda: len(rig.legs[0].pictures) > 100, 30)
            (leg,) = rig.legs
            assert {known.track for known in leg.demuxer.formats} == {0, 1}
            assert leg.demuxer.continuity_errors == 0
