"""Whatever happens to the spool, a reader gets each unit once, and a record of each gap."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from sluice_media.contract import LegAck, RingPin, TimelineGap
from sluice_media.formats.units import AccessUnit
from sluice_media.hub.clock import datetime_of
from tests.support.hub_world import Publisher, config
from tests.unit.hub.spool_world import SpoolReader, SpoolWorld

EXAMPLES = int(os.environ.get("SLUICE_EXAMPLES", "10"))

STEPS = st.one_of(
    st.tuples(st.just("play"), st.integers(1, 25)),
    st.tuples(st.just("burst"), st.sampled_from([3, 30, 100])),
    st.tuples(st.just("read"), st.integers(1, 30)),
    st.tuples(st.just("leave"), st.just(0)),
    st.tuples(st.just("acknowledge"), st.integers(0, 100)),
    st.tuples(st.just("limit"), st.sampled_from([20_000, 60_000, 1 << 30])),
    st.tuples(st.just("restart"), st.integers(0, 2)),
)

ONE_FRAME_SECONDS = 0.06
"""A position is that of the slowest track: what was dropped right behind it may be had already."""


class Story:
    """One session, one publisher that never loses anything, and one recorder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.limit = 1 << 30
        self.world: SpoolWorld
        self.publisher: Publisher
        self.out: list[bytes] = []
        """Pictures in output order."""
        self.got: list[bytes | None] = []
        """Pictures that the recorder got; None for a gap record."""
        self.dts = 0
        self.durable = 0
        self.timeline = ""
        self.reader: SpoolReader | None = None
        self._seen = 0

    @property
    def changes(self) -> dict[str, Any]:
        return {"auto_record": True, "spool_limit_bytes": self.limit}

    async def begin(self) -> None:
        self.world = SpoolWorld(self.folder, **self.changes)
        await self.world.spooler.load()
        self.publisher = self.world.publish(label="p")
        await self.world.play(self.publisher, 1)
        timeline = self.world.hub.output.timeline
        assert timeline is not None
        self.timeline, self.us = timeline.id, timeline.started_us
        self.configure()

    def configure(self) -> None:
        at = datetime_of(self.us)
        pins = [RingPin(recording_uid="rec", since=at, session_started_at=at)]
        self.world.hub.configure(config(**self.changes, pins=pins), self.world.now)

    async def step(self, what: str, how_much: int) -> None:
        if what == "play":
            await self.world.play(self.publisher, how_much)
        elif what == "burst":
            # The disk gets nothing for so long.
            self.publisher.send(how_much)
        elif what == "read":
            await self.read(how_much)
        elif what == "leave":
            self.leave()
        elif what == "acknowledge":
            self.acknowledge(how_much)
        elif what == "limit":
            self.limit = how_much
            self.configure()
        else:
            await self.restart(how_much)

    async def read(self, pieces: int) -> None:
        if self.reader is None:
            asked: dict[str, Any] = {"session_us": self.us}
            if self.got:
                asked = {"timeline": self.timeline, "dts": self.dts}
            self.reader = self.world.reader("rec", **asked)
            self._seen = 0
        try:
            await self.reader.read(pieces)
        except (ConnectionResetError, IndexError):
            self.take()
            self.leave()
            return
        self.take()

    def take(self) -> None:
        if self.reader is None:
            return
        for record in self.reader.records[self._seen :]:
            if isinstance(record, TimelineGap):
                if record.wall_seconds > ONE_FRAME_SECONDS:
                    self.got.append(None)
            elif isinstance(record, AccessUnit) and record.track == 0 and record.dts > self.dts:
                # What comes again is dropped, as the client of the timeline does.
                self.got.append(record.payload)
                self.dts = record.dts
        self._seen = len(self.reader.records)

    def leave(self) -> None:
        if self.reader is not None:
            self.world.hub.readers.detach(self.reader.reader, self.world.now)
            self.reader = None

    def acknowledge(self, percent: int) -> None:
        if self.reader is not None and self.reader.reader.timeline is not None and self.got:
            self.durable = max(self.durable, self.dts * percent // 100)
            self.reader.acknowledge(self.durable)

    async def restart(self, unwritten: int) -> None:
        """The process dies and the next one gets its files, and its publisher all over again."""
        self.publisher.send(unwritten)
        ack: LegAck = self.world.hub.ack(self.publisher.leg)
        self.note_output()
        self.leave()
        self.world.spooler.close()
        before, old = self.world, self.publisher
        self.world = SpoolWorld(self.folder, after=before, **self.changes)
        await self.world.spooler.load()
        self.configure()
        leg = self.world.publish(connection=old.leg.hello.connection, resume=ack, label="p")
        leg._position, leg._picture, leg._audio_frames = (
            old._position,
            old._picture,
            old._audio_frames,
        )
        # A gateway keeps a minute, from a keyframe on.
        kept = old.sent[-60 * 72 :]
        first = next(n for n, unit in enumerate(kept) if unit.is_random_access)
        leg.burst(kept[first:])
        leg.sent = list(old.sent)
        self.publisher = leg

    def note_output(self) -> None:
        self.out = [unit.payload for unit in self.publisher.sent if unit.track == 0]

    def check(self) -> None:
        self.note_output()
        number = {payload: n for n, payload in enumerate(self.out)}
        last, told = -1, False
        for payload in self.got:
            if payload is None:
                told = True
                continue
            here = number[payload]
            assert here > last, "twice, or out of order"
            missing = here - last - 1
            assert bool(missing) == told, f"{missing} missing before {here}, told: {told}"
            last, told = here, False


@given(st.lists(STEPS, min_size=1, max_size=10))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_recorder_gets_each_unit_once_in_order_and_is_told_of_each_gap(
    steps: list[tuple[str, int]],
) -> None:
    async def story() -> None:
        with tempfile.TemporaryDirectory() as folder:
            tale = Story(Path(folder))
            await tale.begin()
            try:
                for what, how_much in steps:
                    await tale.step(what, how_much)
                await tale.world.play(tale.publisher, 1)
                for _ in range(5):
                    await tale.read(1_000_000)
                tale.check()
                assert tale.got[-1] == tale.out[-1]
            finally:
                tale.world.spooler.close()

    asyncio.run(story())
