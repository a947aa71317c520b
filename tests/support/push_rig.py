"""A clip on air, and a pusher that reads it: the rig of the push tests."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sluice_media.contract import (
    TARGET_CA_FILE,
    TARGET_PASSPHRASE_FILE,
    AddressGuard,
    PusherConfig,
    PusherStatus,
    PushState,
    StreamRef,
)
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.net.address_guard import Resolver, system_resolver
from sluice_media.pod.config_files import ConfigWatch
from sluice_media.pod.status_server import StatusBoard
from sluice_media.push.metrics import PushMetrics
from sluice_media.push.runner import TICKING, Pusher
from tests.support.fake_hub import TOKEN, FakeHub
from tests.support.media_clips import Clip
from tests.support.target import RtmpTarget

__all__ = [
    "Broadcast",
    "PushRig",
    "broadcast",
    "class_of",
    "finish",
    "listening",
    "running_push",
]

FIRST_DTS = 900_000


def class_of(status: PusherStatus) -> str | None:
    """Return the class of the last error."""
    return status.last_error.class_ if status.last_error is not None else None


async def finish(target: RtmpTarget) -> None:
    """Wait until the publisher has disconnected and the file is complete."""
    await asyncio.to_thread(target.finish)


class Broadcast:
    """A clip played in real time on a hub, with the interruptions of the test."""

    def __init__(self, hub: FakeHub, clip: Clip) -> None:
        self.hub = hub
        self.formats: tuple[TrackFormat, ...] = clip.formats
        self._units = [
            replace(unit, dts=unit.dts + FIRST_DTS, pts=unit.pts + FIRST_DTS) for unit in clip.units
        ]
        self._sessions = 0
        self._begun_at = 0
        self._player: asyncio.Task[None] | None = None

    def go_on_air(self) -> None:
        """Begin a session, or continue it after an interruption."""
        if not self.hub.session:
            self._sessions += 1
            self._begun_at = len(self.hub.log)
            self.hub.begin(self.formats, f"t{self._sessions}")
        played = sum(isinstance(r, AccessUnit) for r in self.hub.log[self._begun_at :])
        play = self.hub.play(self._units[played:])
        self._player = asyncio.get_running_loop().create_task(play)

    def interrupt(self) -> None:
        self._stop()
        self.hub.silent()

    def end(self) -> None:
        self._stop()
        self.hub.end()

    @property
    def pictures(self) -> int:
        """Number of video frames sent in all sessions."""
        return sum(isinstance(r, AccessUnit) and r.track == 0 for r in self.hub.log)

    async def played(self) -> None:
        """Wait until the clip is over."""
        if self._player is not None:
            await self._player

    def _stop(self) -> None:
        if self._player is not None:
            self._player.cancel()
            self._player = None


@contextmanager
def listening(target: RtmpTarget) -> Iterator[RtmpTarget]:
    """Yield the target once it listens. The check makes no connection, because the target accepts
    only one. A pusher that tries again may be connected already, and then nothing listens."""
    port = int(target.url.split(":")[2].partition("/")[0])
    entry = re.compile(rf":{port:04X} (00000000:0000 0A|[0-9A-F]{{8}}:[0-9A-F]{{4}} 0[1-8]) ")
    with target:
        deadline = time.monotonic() + 10
        while not entry.search(Path("/proc/net/tcp").read_text()):
            assert time.monotonic() < deadline, "the target does not listen"
            time.sleep(0.02)
        yield target


@asynccontextmanager
async def broadcast(clip: Clip, *, live: bool = True) -> AsyncIterator[Broadcast]:
    """Yield a hub with the clip on air (``live``), or ready to go."""
    made = Broadcast(FakeHub(), clip)
    async with made.hub.listening():
        if live:
            made.go_on_air()
        yield made
        made.interrupt()


class PushRig:
    """A pusher with its files, its status, and all of its states so far."""

    def __init__(self, folder: Path, hub_port: int) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        self._hub_port = hub_port
        self._generation = 0
        self.states: list[PushState] = []
        self.resolver: Resolver = system_resolver

    def configure(
        self,
        uri: str | None,
        *,
        key: str | None = None,
        passphrase: str | None = None,
        ca: str | None = None,
        **fields: Any,
    ) -> None:
        """Write the configuration; ``uri=None``: the URI is in the Secret."""
        self._generation += 1
        for name in ("streamkey", "hub"):
            (self.keys / name).mkdir(parents=True, exist_ok=True)
        (self.keys / "hub" / "token").write_text(TOKEN)
        key_file = self.keys / "streamkey" / "key"
        if key is not None:
            key_file.write_text(key)
        else:
            key_file.unlink(missing_ok=True)
        for name, content in ((TARGET_PASSPHRASE_FILE, passphrase), (TARGET_CA_FILE, ca)):
            if content is not None:
                (self.keys / name).parent.mkdir(exist_ok=True)
                (self.keys / name).write_text(content)
        settings: dict[str, Any] = {
            "namespace": "ns",
            "name": "push",
            "uid": "push-uid",
            "generation": self._generation,
            "stream": StreamRef(name="s", uid="stream-uid", host="127.0.0.1"),
            "uri": uri,
            "has_stream_key": key is not None,
            "retry_min_seconds": 0.2,
            "retry_max_seconds": 0.5,
            "guard": AddressGuard(allowed=["127.0.0.0/8"]),
        }
        text = PusherConfig(**{**settings, **fields}).to_json()
        fresh = self.folder / "config.new"
        fresh.write_text(text)
        fresh.replace(self.folder / "config.json")

    def put_uri(self, uri: str) -> None:
        """Write the URI into the Secret."""
        (self.keys / "target").mkdir(parents=True, exist_ok=True)
        (self.keys / "target" / "uri").write_text(uri)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PushRig]:
        watch = ConfigWatch(PusherConfig, self.folder / "config.json", self.keys)
        self.board = StatusBoard(
            PusherStatus(pod_uid="pod", version=0, observed_at=datetime.now(UTC)), ticking=TICKING
        )
        self.metrics = PushMetrics()
        pusher = Pusher(
            watch, self.board, self.metrics, hub_port=self._hub_port, resolver=self.resolver
        )
        terminate = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._note_states())
            running = tasks.create_task(pusher.run(terminate))
            try:
                await self.until(lambda status: status.config_generation == self._generation)
                yield self
            finally:
                terminate.set()
                await running
                watching.cancel()

    @property
    def status(self) -> PusherStatus:
        return self.board.status

    async def until(self, what: Callable[[PusherStatus], bool], seconds: float = 15) -> float:
        """Wait until ``what`` is true for the status; return the seconds until then."""
        begin = time.monotonic()
        while not what(self.status):
            left = begin + seconds - time.monotonic()
            assert left > 0, f"still {self.status} after {seconds} s"
            await self.board.wait(self.board.version, min(left, 0.1))
        return time.monotonic() - begin

    async def until_state(self, state: PushState, seconds: float = 15) -> float:
        return await self.until(lambda status: status.state is state, seconds)

    async def _note_states(self) -> None:
        while True:
            if not self.states or self.states[-1] is not self.status.state:
                self.states.append(self.status.state)
            await self.board.wait(self.board.version, 1)


@asynccontextmanager
async def running_push(
    folder: Path, source: Broadcast, uri: str | None, key: str | None = "key", **fields: Any
) -> AsyncIterator[PushRig]:
    """Yield a running pusher. The field ``resolver`` is for the pusher; the others are for its
    configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    rig = PushRig(folder, source.hub.port)
    rig.resolver = fields.pop("resolver", system_resolver)
    rig.configure(uri, key=key, **fields)
    async with rig.running():
        yield rig
