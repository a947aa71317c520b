"""The spool's disk: full, broken, slow, or with something else on it."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sluice_media.contract import TimelineGap
from sluice_media.hub.spool.disk import SpoolDisk
from tests.unit.hub.spool_world import SpoolWorld, files, sent, started


class Disk:
    """Faults of the disk at writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: int | None = None
        real = SpoolDisk.write

        def write(
            disk: SpoolDisk, timeline: str, first_seq: int, offset: int, data: Sequence[bytes]
        ) -> None:
            if self.error is not None:
                real(disk, timeline, first_seq, offset, [b"".join(data)[:100]])
                raise OSError(self.error, "the disk says no")
            real(disk, timeline, first_seq, offset, data)

        monkeypatch.setattr(SpoolDisk, "write", write)


async def test_a_disk_that_is_full_for_a_minute_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish()
        await world.play(publisher, 20)
        disk.error = errno.ENOSPC
        await world.play(publisher, 100)
        plan = world.hub.output.spool_plan
        assert plan.failing
        assert plan.failures >= 50
        disk.error = None
        await world.play(publisher, 20)
        assert not plan.failing
        assert plan.holes == 0
        reader = await world.reader(session_us=started(world)).read()
        assert reader.payloads(0) == sent(publisher)
        assert not reader.of(TimelineGap)


async def test_a_disk_that_is_broken_for_long_costs_what_the_ring_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish()
        await world.play(publisher, 20)
        disk.error = errno.EIO
        await world.play(publisher, 400)
        timeline = world.hub.output.timeline
        assert timeline is not None
        assert timeline.ring.seconds_held < 190
        disk.error = None
        await world.play(publisher, 100)
        assert world.hub.output.spool_plan.holes
        reader = await world.reader(session_us=started(world)).read()
        [gap] = reader.of(TimelineGap)
        numbers = [int(p.rsplit(b"/", 1)[1]) for p in reader.payloads(0)]
        [hole] = [(a, b) for a, b in pairwise(numbers) if b != a + 1]
        assert isinstance(gap, TimelineGap)
        assert gap.wall_seconds == pytest.approx((hole[1] - hole[0]) / 25, abs=0.1)
        assert numbers[0] == 0
        assert numbers[-1] == len(sent(publisher)) - 1


async def test_a_segment_that_cannot_be_read_is_given_up_after_three_tries(
    tmp_path: Path,
) -> None:
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish()
        await world.play(publisher, 200)
        victim = files(tmp_path)[3]
        victim.write_bytes(b"")
        us = started(world)
        for _ in range(3):
            with pytest.raises(ConnectionResetError):
                await world.reader(session_us=us).read()
        reader = await world.reader(session_us=us).read()
        [gap] = reader.of(TimelineGap)
        assert isinstance(gap, TimelineGap)
        assert 9 <= gap.wall_seconds <= 12
        assert reader.payloads(0)[-1] == sent(publisher)[-1]


async def test_a_disk_that_stalls_is_reported_and_then_caught_up_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.hub.spool.spooler.STALL_SECONDS", 0.05)
    go_on = threading.Event()
    real = SpoolDisk.write

    def write(*args: Any) -> None:
        go_on.wait(10)
        real(*args)

    monkeypatch.setattr(SpoolDisk, "write", write)
    async with SpoolWorld(tmp_path, auto_record=True) as world:
        publisher = world.publish()
        publisher.send(2)
        writing = asyncio.create_task(world.spooler.write())
        await asyncio.sleep(0.2)
        assert world.hub.output.spool_plan.failing
        publisher.send(100)
        go_on.set()
        await writing
        await world.spooler.write()
        assert not world.hub.output.spool_plan.failing
        reader = await world.reader(session_us=started(world)).read()
        assert reader.payloads(0) == sent(publisher)
        assert not reader.of(TimelineGap)


async def test_what_is_no_segment_is_left_out_and_the_rest_is_found(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"auto_record": True, "resume_window_seconds": 1}
    async with SpoolWorld(tmp_path, **changes) as world:
        publisher = world.publish()
        await world.play(publisher, 45)
        us = started(world)
        publisher.end()
        await world.idle(3)
    first, second = files(tmp_path)[:2]
    first.write_bytes(b"no segment")
    second.with_suffix(".idx").write_text("no index")
    (first.parent / "stranger.seg").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    async with SpoolWorld(tmp_path, after=world, **changes) as following:
        reader = await following.reader(session_us=us).read()
        [gap] = reader.of(TimelineGap)
        assert isinstance(gap, TimelineGap)
        assert 9 <= gap.wall_seconds <= 12
        assert reader.payloads(0) == sent(publisher)[-len(reader.payloads(0)) :]


async def test_a_timeline_with_a_path_for_a_name_stays_in_the_folder(tmp_path: Path) -> None:
    disk = SpoolDisk(tmp_path / "spool")
    disk.write("../../elsewhere", 0, 0, [b"x"])
    assert [path.relative_to(tmp_path).parts[0] for path in files(tmp_path)] == ["spool"]
    disk.remove("../../elsewhere", (), all_of_it=True)
    assert not files(tmp_path)
