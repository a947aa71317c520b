"""All of playback on this machine: a gateway, a hub, play pods and the edge, each a process."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from tests.support.edge_dns import Dns
from tests.support.edge_rig import EDGE_KEY, Edge, dns_name
from tests.support.play_rig import PlayPod, PlayRig
from tests.support.ports import free_port

__all__ = ["EdgePlayRig", "edge_play_rig"]

STREAM = "ns/news"


class EdgePlayRig(PlayRig):
    """The edge finds the play pods by DNS: each has an address of its own and the same port."""

    def __init__(
        self, folder: Path, *, pods: int, workers: int, player: Path | None, **options: object
    ) -> None:
        port, key_file = free_port(), folder / "edge-key"
        key_file.write_text(EDGE_KEY)
        player = player or folder / "player"
        player.mkdir(exist_ok=True)
        self.dns = Dns()
        self.edge = Edge(
            folder,
            {
                "SLUICE_EDGE_KEY_FILE": str(key_file),
                "SLUICE_PLAYER_DIR": str(player),
                "SLUICE_PLAY_PORT": str(port),
                "SLUICE_RESOLVER": self.dns.address,
                "SLUICE_WORKERS": str(workers),
            },
        )
        self.edge_url = f"http://127.0.0.1:{self.edge.port}/{STREAM}"
        super().__init__(folder, pods=pods, edge_url=self.edge_url, **options)
        self.edge_token = hmac.new(EDGE_KEY.encode(), STREAM.encode(), hashlib.sha256).hexdigest()
        for number, pod in enumerate(self.pods):
            pod.host, pod.port = f"127.0.0.{2 + number}", port
        self.dns.records[dns_name(STREAM)] = [pod.host for pod in self.pods]

    async def start(self) -> None:
        self.dns.__enter__()
        await super().start()
        await asyncio.to_thread(self.edge.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self.edge.stop)
        await super().stop()
        self.dns.__exit__(None, None, None)

    @property
    def edge_pids(self) -> list[int]:
        """Return the nginx master and its workers."""
        master = self.edge.pid
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, workers)]

    async def session(self, pod: PlayPod) -> str:
        """Wait until the stream is on air; return the id of its session."""
        text = await self.until_found(pod, "index.m3u8")
        found = re.search(r"^([0-9a-f]+)/\w+\.m3u8$", text, re.MULTILINE)
        assert found is not None, text
        return found[1]


@asynccontextmanager
async def edge_play_rig(
    folder: Path, *, pods: int = 1, workers: int = 1, player: Path | None = None, **options: object
) -> AsyncIterator[EdgePlayRig]:
    """Yield a running rig. ``player`` is the folder of the built player page; ``options`` are
    fields of PlayConfig."""
    folder.mkdir(parents=True, exist_ok=True)
    rig = EdgePlayRig(folder, pods=pods, workers=workers, player=player, **options)
    async with aiohttp.ClientSession() as rig.client:
        try:
            await rig.start()
            yield rig
        finally:
            await rig.stop()
