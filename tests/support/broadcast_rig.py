"""A real gateway and a real hub, each in its own process, and readers of the hub."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from sluice_media.contract import IngestStatus, TimelineFormat
from sluice_media.formats.units import AccessUnit
from sluice_media.timeline.connection import ClosedError, connect
from sluice_media.timeline.framing import Record
from tests.support.certificates import MountedSecret
from tests.support.hub_world import config
from tests.support.ports import free_port
from tests.support.recorder_rig import ROOT, samples

__all__ = ["KEY", "BroadcastRig", "Received", "broadcast_rig"]

KEY = "canary-publish-key"
HUB_TOKEN = "canary-hub-token"
_STARTS = 3

_GATEWAY = """
import os, uvloop
from sluice_media.gateway.role import GatewaySettings, serve
from sluice_media.pod.logs import configure_logging

others = os.environ["OTHER_HUBS_PORTS"].split()

async def locate(namespace, stream):
    own = stream == "news" or not others
    port = os.environ["SLUICE_HUB_PORT"] if own else others[int(stream[1:])]
    return "http://127.0.0.1:" + port

configure_logging()
uvloop.run(serve(GatewaySettings(), locate))
"""


class Received:
    """All records of one reader."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def payloads(self, track: int) -> list[bytes]:
        return [u.payload for u in self.units if u.track == track]

    @property
    def units(self) -> list[AccessUnit]:
        return [r for r in self.records if isinstance(r, AccessUnit)]

    @property
    def formats(self) -> list[TimelineFormat]:
        return [r for r in self.records if isinstance(r, TimelineFormat)]


class BroadcastRig:
    def __init__(self, folder: Path, other_hubs: Sequence[int] = ()) -> None:
        self._folder = folder
        self._other_hubs = other_hubs
        self._choose_ports()
        self.hub: asyncio.subprocess.Process
        self.gateway: asyncio.subprocess.Process

    def _choose_ports(self) -> None:
        self.rtmp_port, self.hub_port = free_port(), free_port()
        self.rtmps_port, self.srt_port = free_port(), free_port()
        self.hub_status_port, self.gateway_status_port = free_port(), free_port()

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/ns/news?{KEY}"

    @property
    def rtmps_url(self) -> str:
        return f"rtmps://127.0.0.1:{self.rtmps_port}/ns/news?{KEY}"

    @property
    def srt_url(self) -> str:
        return f"srt://127.0.0.1:{self.srt_port}?streamid=ns/news?{KEY}"

    @property
    def server(self) -> str:
        return f"rtmp://127.0.0.1:{self.rtmp_port}/ns"

    def logs(self) -> str:
        return "".join(log.read_text() for log in self._folder.glob("*.log"))

    def memory_mib(self, process: asyncio.subprocess.Process) -> float:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    async def start(self) -> None:
        for name, token in (("hub", HUB_TOKEN), ("ingest", KEY)):
            (self._folder / "keys" / name).mkdir(parents=True)
            (self._folder / "keys" / name / "token").write_text(token)
        protocols = ["RTMP", "RTMPS", "SRT"]
        hub = config(resume_window_seconds=2, protocols=protocols)
        (self._folder / "config.json").write_text(hub.to_json())
        MountedSecret(self._folder / "tls").renew("gateway")
        for _ in range(_STARTS):
            if await self._started():
                return
            # Another process has taken a port between the choice and the start.
            await BroadcastRig.stop(self)
            self._choose_ports()
        raise AssertionError(self.logs())

    async def _started(self) -> bool:
        """Start hub and gateway; return whether both run and are ready."""
        self.hub = await self._run("hub", self.hub_status_port, "-m", "sluice_media", "ingest")
        self.gateway = await self._run("gateway", self.gateway_status_port, "-c", _GATEWAY)
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            places = ((self.hub_status_port, "v1/status"), (self.gateway_status_port, "readyz"))
            for port, path in places:
                while not await _is_ready(session, port, path):
                    if any(p.returncode is not None for p in (self.hub, self.gateway)):
                        return False
                    await asyncio.sleep(0.05)
        return all(p.returncode is None for p in (self.hub, self.gateway))

    async def stop(self) -> None:
        for process in (self.gateway, self.hub):
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()

    async def _run(self, name: str, status_port: int, *command: str) -> asyncio.subprocess.Process:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "images/media/src"),
            "SLUICE_BIND": "127.0.0.1",
            "SLUICE_CONFIG_FILE": str(self._folder / "config.json"),
            "SLUICE_KEYS_DIR": str(self._folder / "keys"),
            "SLUICE_HUB_PORT": str(self.hub_port),
            "OTHER_HUBS_PORTS": " ".join(map(str, self._other_hubs)),
            "SLUICE_RTMP_PORT": str(self.rtmp_port),
            "SLUICE_RTMPS_PORT": str(self.rtmps_port),
            "SLUICE_TLS_DIR": str(self._folder / "tls"),
            "SLUICE_SRT_PORT": str(self.srt_port),
            "SLUICE_STATUS_PORT": str(status_port),
        }
        with (self._folder / f"{name}.log").open("wb") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, *command, env=environment, stdout=log, stderr=log
            )

    async def status(self) -> IngestStatus:
        url = f"http://127.0.0.1:{self.hub_status_port}/v1/status"
        headers = {"Authorization": f"Bearer {HUB_TOKEN}"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            return IngestStatus.model_validate_json(await answer.read())

    async def until(
        self, fits: Callable[[IngestStatus], bool], seconds: float = 30
    ) -> IngestStatus:
        """Wait until the status fits, and return it. Also wait for a hub that does not listen
        yet."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(aiohttp.ClientConnectorError):
                    if fits(status := await self.status()):
                        return status
                await asyncio.sleep(0.05)

    async def gateway_metrics(self) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.gateway_status_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return samples(await answer.text())

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Received]:
        received = Received()
        url = f"http://127.0.0.1:{self.hub_port}"
        timeline = await connect(url, {}, {"Authorization": f"Bearer {HUB_TOKEN}"})

        async def read() -> None:
            with suppress(ClosedError):
                while True:
                    await timeline.receive(received.records)

        task = asyncio.create_task(read())
        try:
            yield received
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            timeline.close()

    async def publish(self, *command: str, seconds: float = 60) -> tuple[int, str]:
        """Run an encoder to its end; return its exit code and its output."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(seconds):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return process.returncode or 0, output.decode("utf-8", "replace")


async def _is_ready(session: aiohttp.ClientSession, port: int, path: str) -> bool:
    headers = {"Authorization": f"Bearer {HUB_TOKEN}"}
    try:
        async with session.get(f"http://127.0.0.1:{port}/{path}", headers=headers) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@asynccontextmanager
async def broadcast_rig(
    folder: Path, other_hubs: Sequence[int] = ()
) -> AsyncIterator[BroadcastRig]:
    """Yield a running rig. Its hub serves all streams, except ``s0``, ``s1``, … if there are other
    hubs."""
    rig = BroadcastRig(folder, other_hubs)
    try:
        await rig.start()
        yield rig
    finally:
        await rig.stop()
