"""A gateway and a hub with two legs, an encoder on each, faults for them, and a reader that stores
the time of each unit."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from sluice_media.contract import INGEST_BACKUP_TOKEN_FILE
from sluice_media.formats.units import AccessUnit
from sluice_media.timeline.framing import Record, TimelineDecoder
from tests.support.broadcast_rig import HUB_TOKEN, KEY, BroadcastRig
from tests.support.hub_world import config

__all__ = ["BACKUP_KEY", "DuoRig", "Timed", "connection_dropped", "duo_rig"]

BACKUP_KEY = "canary-backup-key"


class Timed:
    """Records of one reader, each with the monotonic second of its arrival."""

    def __init__(self) -> None:
        self.records: list[tuple[float, Record]] = []

    @property
    def units(self) -> list[tuple[float, AccessUnit]]:
        return [(at, r) for at, r in self.records if isinstance(r, AccessUnit)]

    def of(self, kind: type[Record]) -> list[Any]:
        return [r for _, r in self.records if isinstance(r, kind)]


class DuoRig(BroadcastRig):
    """A rig with two legs. ``changes`` are changes to the ingest configuration."""

    def __init__(self, folder: Path, **changes: object) -> None:
        super().__init__(folder)
        self._changes: dict[str, object] = {"resume_window_seconds": 2, **changes}

    @property
    def backup_url(self) -> str:
        return self.url.replace(KEY, BACKUP_KEY)

    async def start(self) -> None:
        await super().start()
        (self._folder / "keys" / INGEST_BACKUP_TOKEN_FILE).write_text(BACKUP_KEY)
        fresh = self._folder / "config.new"
        fresh.write_text(config(backup=True, generation=2, **self._changes).to_json())
        fresh.rename(self._folder / "config.json")
        await self.until(lambda s: s.config_generation == 2 and s.config_error_reason is None)

    @asynccontextmanager
    async def timed_reading(self, role: str = "viewer") -> AsyncIterator[Timed]:
        timed = Timed()
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"http://127.0.0.1:{self.hub_port}/v1/timeline"
        headers = {"Authorization": f"Bearer {HUB_TOKEN}"}

        async def read(answer: aiohttp.ClientResponse) -> None:
            decoder = TimelineDecoder()
            with suppress(aiohttp.ClientError):
                async for data in answer.content.iter_any():
                    now = time.monotonic()
                    timed.records += [(now, record) for record in decoder.feed(data)]

        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, headers=headers, params={"role": role, "reader": role}) as answer,
        ):
            task = asyncio.create_task(read(answer))
            try:
                yield timed
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def duo_rig(folder: Path, **changes: object) -> AsyncIterator[DuoRig]:
    folder.mkdir(parents=True, exist_ok=True)
    rig = DuoRig(folder, **changes)
    try:
        await rig.start()
        yield rig
    finally:
        await rig.stop()


@contextmanager
def connection_dropped(pid: int, port: int) -> Iterator[None]:
    """Drop the packets of the TCP connection of ``pid`` to ``port``, in both directions. This works
    only in a separate network namespace."""
    source = _local_port(pid, port)
    ways = (
        ("--sport", str(source), "--dport", str(port)),
        ("--sport", str(port), "--dport", str(source)),
    )
    rules = [("INPUT", "-p", "tcp", *way, "-j", "DROP") for way in ways]
    for rule in rules:
        subprocess.run(["iptables", "-I", *rule], check=True, timeout=10)
    try:
        yield
    finally:
        for rule in rules:
            subprocess.run(["iptables", "-D", *rule], check=True, timeout=10)


def _local_port(pid: int, port: int) -> int:
    """Return the local port of the process's connection to ``port``."""
    links = (str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes and int(fields[2].rpartition(":")[2], 16) == port:
            return int(fields[1].rpartition(":")[2], 16)
    raise LookupError(f"process {pid} has no connection to port {port}")
