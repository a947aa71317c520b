"""A gateway, a hub and play pods, each in a process of its own, without an edge."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from sluice_media.contract import PlayConfig, PlayStatus, StreamRef
from tests.support.broadcast_rig import HUB_TOKEN, BroadcastRig
from tests.support.ports import free_port
from tests.support.recorder_rig import ROOT

__all__ = ["EDGE_TOKEN", "PlayPod", "PlayRig", "play_rig"]

EDGE_TOKEN = "canary-edge-token"

_PLAY = """
import os, uvloop
from sluice_media.play.role import serve
from sluice_media.pod.logs import configure_logging
from sluice_media.pod.settings import PodSettings

async def locate(host, port):
    return os.environ["PLAY_URLS"].split()

configure_logging()
uvloop.run(serve(PodSettings(), locate))
"""


@dataclass
class PlayPod:
    """One play pod. Its ports stay when it is started again."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    status_port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait for the end."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()

    def log(self) -> str:
        return (self.folder / "play.log").read_text()


class PlayRig(BroadcastRig):
    """``options`` are fields of PlayConfig."""

    def __init__(self, folder: Path, *, pods: int = 1, **options: object) -> None:
        super().__init__(folder)
        self.pods = [PlayPod(f"play{n}", folder / f"play{n}") for n in range(pods)]
        self.edge_token = EDGE_TOKEN
        self._options = options
        self.client: aiohttp.ClientSession

    async def start(self) -> None:
        await super().start()
        for pod in self.pods:
            (pod.folder / "keys" / "hub").mkdir(parents=True)
            (pod.folder / "keys" / "hub" / "token").write_text(HUB_TOKEN)
            (pod.folder / "keys" / "edge").mkdir()
            (pod.folder / "keys" / "edge" / "token").write_text(self.edge_token)
            self.configure(pod)
            await self.run_pod(pod)

    def configure(self, pod: PlayPod, **options: object) -> None:
        """Write the configuration of a pod."""
        stream = StreamRef(
            name="news", uid="stream-uid", title="News", host="127.0.0.1", resume_window_seconds=2
        )
        fields = {"siblings": "pods", **self._options, **options}
        config = PlayConfig(namespace="ns", name="news", uid="stream-uid", stream=stream)
        fresh = pod.folder / "config.new"
        fresh.write_text(config.model_copy(update=fields).to_json())
        fresh.rename(pod.folder / "config.json")

    def write_key(self, pod: PlayPod, name: str, key: str) -> None:
        """Write a signing key: ``key`` or ``previousKey``."""
        folder = pod.folder / "keys" / "playback"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(key)

    async def run_pod(self, pod: PlayPod) -> None:
        """Start a pod, or start it again."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "images/media/src"),
            "POD_UID": pod.name,
            "SLUICE_BIND": pod.host,
            "SLUICE_CONFIG_FILE": str(pod.folder / "config.json"),
            "SLUICE_KEYS_DIR": str(pod.folder / "keys"),
            "SLUICE_SPOOL_DIR": str(pod.folder / "spool"),
            "SLUICE_HUB_PORT": str(self.hub_port),
            "SLUICE_PLAY_PORT": str(pod.port),
            "SLUICE_STATUS_PORT": str(pod.status_port),
            "PLAY_URLS": " ".join(other.url for other in self.pods),
        }
        with (pod.folder / "play.log").open("ab") as log:
            pod.process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", _PLAY, env=environment, stdout=log, stderr=log
            )

    async def stop(self) -> None:
        for pod in self.pods:
            await pod.kill()
        await super().stop()

    async def get(self, pod: PlayPod, path: str) -> tuple[int, bytes]:
        """Request a path as the edge does; return the status and the body."""
        headers = {"Authorization": f"Bearer {self.edge_token}"}
        async with self.client.get(f"{pod.url}/{path}", headers=headers) as answer:
            return answer.status, await answer.read()

    async def text(self, pod: PlayPod, path: str) -> str:
        """Return the body of a path that exists."""
        status, body = await self.get(pod, path)
        assert status == 200, (status, body)
        return body.decode()

    async def until_found(self, pod: PlayPod, path: str, seconds: float = 30) -> str:
        """Wait until a path exists, and return its body."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(aiohttp.ClientConnectorError):
                    status, body = await self.get(pod, path)
                    if status == 200:
                        return body.decode()
                await asyncio.sleep(0.1)

    async def play_status(self, pod: PlayPod) -> PlayStatus:
        url = f"http://{pod.host}:{pod.status_port}/v1/status"
        headers = {"Authorization": f"Bearer {HUB_TOKEN}"}
        async with self.client.get(url, headers=headers) as answer:
            return PlayStatus.model_validate_json(await answer.read())


@asynccontextmanager
async def play_rig(folder: Path, *, pods: int = 1, **options: object) -> AsyncIterator[PlayRig]:
    """Yield a running rig."""
    rig = PlayRig(folder, pods=pods, **options)
    async with aiohttp.ClientSession() as rig.client:
        try:
            await rig.start()
            yield rig
        finally:
            await rig.stop()
