"""One connection over a channel that does what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from sluice_media.contract import TargetErrorClass
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from sluice_media.net.address_guard import NotAllowedError
from sluice_media.protocols.rtmp.errors import RtmpError
from sluice_media.protocols.srt.errors import LibraryMissing
from sluice_media.push import connection
from sluice_media.push.channel import Backlog, CodecRefused
from sluice_media.push.connection import Connection
from sluice_media.push.failures import Failure, TargetFailure
from sluice_media.push.feeder import Feeder, QueuedUnit
from sluice_media.push.machine import Accepted, Ended, Event, Flow, FlowMeasured

VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"v")


class FakeChannel:
    paced = False

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.got: list[int] = []
        self.finished = self.aborted = False
        self.kept_alive = 0
        self.ended: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()
        self.open_for_ever = False

    async def open(self) -> None:
        if self.open_for_ever:
            await asyncio.sleep(3_600)
        if self.problem is not None:
            raise self.problem

    async def watch(self) -> Failure:
        return await self.ended

    async def send(self, items: Sequence[QueuedUnit]) -> int:
        self.got += [item.unit.dts for item in items]
        return len(items)

    async def finish(self, items: Sequence[QueuedUnit], *, goodbye: bool) -> int:
        self.finished = True
        return await self.send(items)

    def keep_alive(self) -> int:
        self.kept_alive += 1
        return 16

    def backlog(self) -> Backlog:
        return Backlog(0)

    def abort(self) -> None:
        self.aborted = True


class Push:
    def __init__(self, channel: FakeChannel) -> None:
        self.feeder = Feeder()
        self.feeder.set_formats([VIDEO])
        self.feeder.add(AccessUnit(0, 0, 0, UnitFlags.RANDOM_ACCESS, 0, b"p" * 100))
        self.events: list[Event] = []
        self.bytes = 0
        self.connection = Connection(
            channel, self.feeder, place="host", report=self.events.append, sent=self._sent
        )

    def _sent(self, count: int) -> None:
        self.bytes += count


@pytest.mark.parametrize(
    ("problem", "class_"),
    [
        (TargetFailure(Failure(TargetErrorClass.BAD_NAME, "no")), TargetErrorClass.BAD_NAME),
        (
            NotAllowedError("The address 10.0.0.1 is not allowed: a rule."),
            TargetErrorClass.FORBIDDEN,
        ),
        (ConnectionRefusedError(), TargetErrorClass.REFUSED),
        (LibraryMissing("no libsrt"), TargetErrorClass.UNSUPPORTED),
        (RtmpError("the stream key is too long"), TargetErrorClass.UNSUPPORTED),
        (TimeoutError(), TargetErrorClass.TIMEOUT),
    ],
)
async def test_whatever_stands_in_the_way_is_reported_once(
    problem: Exception, class_: TargetErrorClass
) -> None:
    channel = FakeChannel(problem)
    push = Push(channel)
    await push.connection.run()
    [ended] = push.events
    assert isinstance(ended, Ended)
    assert ended.failure is not None
    assert ended.failure.class_ is class_
    assert channel.aborted


async def test_a_refused_codec_is_no_failure() -> None:
    push = Push(FakeChannel(CodecRefused("set the encoder to H.264")))
    await push.connection.run()
    assert push.events == [Ended(None, "set the encoder to H.264")]


async def test_a_target_that_never_answers_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "OPEN_SECONDS", 0.05)
    channel = FakeChannel()
    channel.open_for_ever = True
    push = Push(channel)
    await push.connection.run()
    [ended] = push.events
    assert isinstance(ended, Ended)
    assert ended.failure is not None
    assert ended.failure.class_ is TargetErrorClass.TIMEOUT


async def test_what_is_queued_goes_out_and_silence_is_kept_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "MEASURE_SECONDS", 0.01)
    monkeypatch.setattr(connection, "FLOWING_MEASURE_SECONDS", 0.01)
    monkeypatch.setattr(connection, "KEEP_ALIVE_SECONDS", 0.05)
    channel = FakeChannel()
    push = Push(channel)
    running = asyncio.create_task(push.connection.run())
    async with asyncio.timeout(5):
        while channel.kept_alive < 2:
            await asyncio.sleep(0.01)
    assert push.events == [Accepted(), FlowMeasured(Flow.FLOWING)]
    push.feeder.add(AccessUnit(0, 3_600, 3_600, UnitFlags.NONE, 0, b"q"))
    push.connection.hang_up(clean=True)
    await asyncio.wait_for(running, 5)
    assert channel.got == [0, 3_600]
    assert channel.finished
    assert push.events[-1] == Ended(None)
    assert push.bytes >= 2 + 32


async def test_a_target_that_goes_is_reported_with_its_reason() -> None:
    channel = FakeChannel()
    push = Push(channel)
    running = asyncio.create_task(push.connection.run())
    await asyncio.sleep(0.02)
    gone = Failure(TargetErrorClass.CLOSED, "gone")
    channel.ended.set_result(gone)
    await asyncio.wait_for(running, 5)
    assert push.events[-1] == Ended(gone)
