"""A hub with a disk below it, and readers that are sent there."""

from __future__ import annotations

from pathlib import Path

from sluice_media.contract import RecordableSession, TimelineAck
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.output.readers import Reader
from sluice_media.hub.output.timeline import Request
from sluice_media.hub.spool.policy import recordable
from sluice_media.hub.spool.spooler import Spooler
from sluice_media.timeline.framing import Record, TimelineDecoder
from tests.support.hub_world import Publisher, World

__all__ = ["SpoolReader", "SpoolWorld"]


class SpoolWorld(World):
    """Use it as a context: the disk's threads end with it."""

    def __init__(self, folder: Path, *, after: World | None = None, **changes: object) -> None:
        super().__init__(**changes)
        if after is not None:
            self.monotonic = after.monotonic + 1
        self.spooler = Spooler(self.hub, folder, clock=lambda: self.now, changed=lambda: None)

    async def __aenter__(self) -> SpoolWorld:
        await self.spooler.load()
        self.hub.tick(self.now)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.spooler.close()

    async def play(self, publisher: Publisher, seconds: int) -> None:
        for _ in range(seconds):
            publisher.send(1)
            await self.spooler.write()

    async def idle(self, seconds: int) -> None:
        for _ in range(seconds):
            self.pass_time(1)
            await self.spooler.write()

    def reader(self, name: str = "r", role: str = "recorder", **asked: object) -> SpoolReader:
        is_recorder = role == "recorder"
        request = Request(whole=is_recorder, recorder=is_recorder, **asked)  # type: ignore[arg-type]
        reader = Reader(name, role, request, self.now)
        self.hub.attach(reader, self.now)
        return SpoolReader(self, reader)

    @property
    def recordable(self) -> list[RecordableSession]:
        return recordable(self.hub.output.timelines, self.hub.config)


class SpoolReader:
    def __init__(self, world: SpoolWorld, reader: Reader) -> None:
        self.world = world
        self.reader = reader
        self.records: list[Record] = []
        self._decoder = TimelineDecoder()

    async def read(self, times: int = 1_000_000) -> SpoolReader:
        """Reads so many pieces, or to the head."""
        reader, world = self.reader, self.world
        for _ in range(times):
            if reader.timeline is None:
                timeline = world.hub.output.find(reader.request)
                if timeline is None:
                    reader.wait()
                    break
                self._take(reader.begin(timeline))
            assert reader.timeline is not None
            if reader.place is not None:
                data, reader.place, seq = await world.spooler.read(reader.timeline, reader.place)
            elif not reader.at_head:
                data, seq = reader.timeline.ring.read(reader.seq, 1 << 16)
            else:
                break
            reader.advanced(seq, world.now)
            self._take(data)
        return self

    def _take(self, data: bytes) -> None:
        self.records += self._decoder.feed(data)

    @property
    def units(self) -> list[AccessUnit]:
        return [record for record in self.records if isinstance(record, AccessUnit)]

    def of(self, kind: type[Record]) -> list[Record]:
        return [record for record in self.records if isinstance(record, kind)]

    def payloads(self, track: int = 0) -> list[bytes]:
        return [unit.payload for unit in self.units if unit.track == track]

    def acknowledge(self, dts: int | None = None) -> None:
        """Acknowledge all units that were read, or those up to ``dts``."""
        timeline = self.reader.timeline
        assert timeline is not None
        if dts is None:
            last = {unit.track: unit.dts for unit in self.units}
            dts = min(last.values())
        ack = TimelineAck(reader=self.reader.id, timeline=timeline.id, dts=dts)
        assert self.world.hub.readers.acknowledge(ack, self.world.now)


def sent(publisher: Publisher, track: int = 0) -> list[bytes]:
    return [unit.payload for unit in publisher.sent if unit.track == track]


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.seg"))


def started(world: World) -> int:
    timeline = world.hub.output.timeline
    assert timeline is not None
    return timeline.started_us
