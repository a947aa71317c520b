"""The WHIP role with a hub that stores its media, and two publishers: aiortc and Chromium."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sluice_media.formats.mpegts import TsMuxer
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.publishing.publication import Publication, PublishEnd, PublishRefused
from sluice_media.whip.server import running_whip
from sluice_media.whip.service import WhipService
from sluice_media.whip.settings import WhipSettings
from tests.support.browser import Page, running_chromium, until

__all__ = [
    "BACKUP_KEY",
    "KEY",
    "Browser",
    "FakePublication",
    "Rig",
    "aiortc_publisher",
    "decode_errors",
    "is_running",
    "running_browser",
    "until",
]

KEY = "canary-key-5f0c2c6a"
BACKUP_KEY = "canary-key-backup-77"


@dataclass
class FakePublication:
    """The media that a hub received from one publisher."""

    leg: str = "primary"
    formats: list[Sequence[TrackFormat]] = field(default_factory=list)
    units: list[AccessUnit] = field(default_factory=list)
    finished: bool = False

    def __post_init__(self) -> None:
        self.ended: asyncio.Future[PublishEnd] = asyncio.get_running_loop().create_future()

    def take_formats(self, formats: Sequence[TrackFormat]) -> None:
        self.formats.append(formats)

    def take_unit(self, unit: AccessUnit) -> None:
        self.units.append(unit)

    async def finish(self) -> None:
        self.finished = True

    def track(self, number: int) -> list[AccessUnit]:
        return [unit for unit in self.units if unit.track == number]

    async def has(self, video: int, seconds: float = 40) -> None:
        """Wait until ``video`` frames have arrived."""
        await until(lambda: len(self.track(0)) >= video, seconds)

    def write_ts(self, path: Path) -> Path:
        """Write all media as a transport stream; return the path."""
        (formats,) = self.formats
        muxer = TsMuxer(formats)
        path.write_bytes(b"".join(muxer.write(unit) for unit in self.units))
        return path


def decode_errors(path: Path) -> str:
    """Return FFmpeg's errors when it decodes the whole file; empty without errors."""
    argv = ["ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    return result.stderr or ("" if result.returncode == 0 else f"exit code {result.returncode}")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Rig:
    """A running WHIP role, which accepts ``KEY`` for ``demo/cam``."""

    def __init__(self) -> None:
        self.publications: list[FakePublication] = []
        self.registry = CollectorRegistry()
        self.service: WhipService

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.http_port}"

    @property
    def publication(self) -> FakePublication:
        return self.publications[-1]

    def figure(self, name: str) -> float:
        return self.registry.get_sample_value(f"sluice_whip_{name}") or 0

    def figure_of(self, name: str) -> dict[str, float]:
        """Return the values of a metric with one label, by that label."""
        return {
            next(iter(sample.labels.values())): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == f"sluice_whip_{name}"
        }

    async def publish(
        self, namespace: str, stream: str, key: SecretStr, _remote: str
    ) -> Publication:
        if (namespace, stream) != ("demo", "cam"):
            raise PublishRefused("UnknownStream", "there is no such stream")
        if key.get_secret_value() == BACKUP_KEY:
            return cast("Publication", FakePublication(leg="backup"))
        if key.get_secret_value() != KEY:
            raise PublishRefused("BadKey", "the key is wrong")
        self.publications.append(FakePublication())
        return cast("Publication", self.publication)

    @asynccontextmanager
    async def running(self, **settings: Any) -> AsyncIterator[Rig]:
        chosen: dict[str, Any] = {
            "bind": "127.0.0.1",
            "public_host": "127.0.0.1",
            "whip_port": 0,
            "whip_media_port": 0,
            "output_lines": 180,
            "video_bitrate_kbps": 300,
        }
        async with running_whip(
            WhipSettings(**(chosen | settings)), self.publish, self.registry
        ) as self.service:
            yield self


@asynccontextmanager
async def aiortc_publisher(
    url: str,
    key: str = KEY,
    codec: str = "video/H264",
    *,
    path: str = "/whip/demo/cam",
    on_post: Callable[[], None] = lambda: None,
) -> AsyncIterator[tuple[RTCPeerConnection, str]]:
    """Connect a publisher; yield its connection and the URL of its session. ``on_post`` is called
    before the offer is sent."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
        video = connection.addTransceiver(VideoStreamTrack(), direction="sendonly")
        capabilities = RTCRtpSender.getCapabilities("video")
        assert capabilities is not None
        video.setCodecPreferences([c for c in capabilities.codecs if c.mimeType == codec])
        await connection.setLocalDescription(await connection.createOffer())
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession() as http:
            offer = connection.localDescription.sdp
            on_post()
            async with http.post(f"{url}{path}", data=offer, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
                location = url + answer.headers["Location"]
                sdp = await answer.text()
        await connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        yield connection, location
    finally:
        await connection.close()


class Browser(Page):
    """The page that goes live, in headless Chromium."""

    async def open(self, url: str) -> None:
        await self.navigate(url)
        await self.until("document.getElementById('start')?.disabled === false")

    async def go_live(self, key: str = KEY) -> None:
        await self.run(f"document.getElementById('key').value = {json.dumps(key)}")
        await self.run("document.getElementById('start').click()")


@asynccontextmanager
async def running_browser(trusted_origin: str = "") -> AsyncIterator[Browser]:
    """Yield a browser. ``trusted_origin`` may use the camera although it is plain HTTP on another
    host."""
    options = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--allow-loopback-in-peer-connection",
        "--disable-features=WebRtcHideLocalIpsWithMdns",
        f"--unsafely-treat-insecure-origin-as-secure={trusted_origin}",
    )
    async with running_chromium(Browser, *options) as browser:
        yield browser
