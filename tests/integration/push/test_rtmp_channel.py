"""A publish over RTMP against our own server's end: whatever ends it is told, and raises nothing
that nobody expects."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from sluice_media.contract import AddressGuard, TargetErrorClass
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from sluice_media.net.address_guard import AddressRules, DialGuard
from sluice_media.protocols.rtmp import (
    Media,
    PublishRequested,
    PublishStopped,
    ServerEvent,
    ServerSession,
)
from sluice_media.protocols.rtmp.url import parse_rtmp_url
from sluice_media.push.connection import Connection
from sluice_media.push.failures import Failure, TargetFailure
from sluice_media.push.feeder import Feeder, QueuedUnit
from sluice_media.push.machine import Ended, Event
from sluice_media.push.rtmp_channel import RtmpChannel
from sluice_media.push.target import Target

HOST = "127.0.0.1"
VIDEO = TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"v")
FRAME = 3_600


def unit(index: int, size: int = 1_000) -> AccessUnit:
    flags = UnitFlags.RANDOM_ACCESS if index % 25 == 0 else UnitFlags.NONE
    return AccessUnit(0, index * FRAME, index * FRAME, flags, 0, bytes(size))


@dataclass
class Platform:
    """Takes one publisher at a time; a test says what it does."""

    port: int = 0
    session: ServerSession = field(default_factory=ServerSession)
    writer: asyncio.StreamWriter | None = None
    events: list[ServerEvent] = field(default_factory=list)
    accepts: bool = True
    after_accepting: Callable[[Platform], None] = lambda _: None
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session, self.writer = ServerSession(), writer
        self.gone.clear()
        with contextlib.suppress(OSError):
            while data := await reader.read(4_096):
                for event in self.session.feed(data):
                    self.events.append(event)
                    if isinstance(event, PublishRequested) and self.accepts:
                        self.session.accept_publish()
                        self.after_accepting(self)
                self.flush()
        self.gone.set()
        writer.close()

    def flush(self) -> None:
        assert self.writer is not None
        self.writer.write(self.session.take_output())

    def end(self) -> None:
        """Ends the running publish, as a platform does whose key was revoked."""
        self.session.end_publish("NetStream.Publish.BadName", "the broadcast is over")
        self.flush()


@asynccontextmanager
async def platform() -> AsyncIterator[Platform]:
    made = Platform()
    server = await asyncio.start_server(made.serve, HOST, 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
        async with asyncio.timeout(5):
            await made.gone.wait()
    finally:
        server.close()


def channel_to(port: int) -> RtmpChannel:
    url = parse_rtmp_url(f"rtmp://{HOST}:{port}/live/a-stream-key")
    guard = DialGuard(AddressRules.of(AddressGuard(allowed=["127.0.0.0/8"])))
    return RtmpChannel(Target(url), url, guard, audio="Keep", formats=[VIDEO])


async def test_what_is_sent_after_the_target_said_no_ends_with_what_it_said() -> None:
    """The reader has read the no, and the writer has not heard of it yet."""
    async with platform() as there:
        channel = channel_to(there.port)
        await channel.open()
        await channel.send([QueuedUnit(unit(0), (VIDEO,))])
        there.end()
        failure = await channel.watch()
        assert failure.class_ is TargetErrorClass.CLOSED
        with pytest.raises(TargetFailure) as raised:
            await channel.send([QueuedUnit(unit(1), (VIDEO,))])
        assert raised.value.failure == failure
        with pytest.raises(TargetFailure):
            await channel.finish([QueuedUnit(unit(2), (VIDEO,))], goodbye=True)
        channel.abort()


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_publish_ends_with_all_media_and_with_a_goodbye_only_if_asked(
    goodbye: bool,
) -> None:
    async with platform() as there:
        channel = channel_to(there.port)
        await channel.open()
        await channel.finish([QueuedUnit(unit(0), (VIDEO,))], goodbye=goodbye)
        channel.abort()
        async with asyncio.timeout(5):
            await there.gone.wait()
    assert any(isinstance(event, Media) for event in there.events)
    assert any(isinstance(event, PublishStopped) for event in there.events) is goodbye


async def test_a_no_while_the_pusher_catches_up_is_the_end_of_the_connection_alone() -> None:
    """As often as it takes to meet every moment: the queue is long, and the no comes after each
    number of turns of the loop."""
    async with platform() as there:
        for turns in range(60):
            there.after_accepting = lambda made, turns=turns: end_after(made, turns)  # type: ignore[misc]
            feeder = Feeder()
            feeder.set_formats([VIDEO])
            for index in range(300):
                feeder.add(unit(index))
            events: list[Event] = []
            connection = Connection(
                channel_to(there.port),
                feeder,
                place=f"rtmp://{HOST}",
                report=events.append,
                sent=lambda _: None,
            )
            running = asyncio.create_task(connection.run())
            for index in range(300, 2_000):
                feeder.add(unit(index))
                connection.wake()
                if running.done():
                    break
                if index % 10 == 0:
                    await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await running
            assert isinstance(events[-1], Ended)
            assert events[-1].failure is not None
            assert events[-1].failure.class_ in (TargetErrorClass.CLOSED, TargetErrorClass.BAD_NAME)


def end_after(there: Platform, turns: int) -> None:
    loop = asyncio.get_running_loop()
    if turns == 0:
        there.end()
    else:
        loop.call_soon(end_after, there, turns - 1)


def test_media_for_a_target_that_has_just_reset_the_connection_ends_it_as_a_reset() -> None:
    """On the loop of the pods, where a write after the reset raised what nobody caught."""

    async def send_after_the_reset() -> None:
        async with platform() as there:
            channel = channel_to(there.port)
            await channel.open()
            assert there.writer is not None
            connected = there.writer.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            there.writer.transport.abort()
            with contextlib.suppress(OSError):
                await channel.watch()
            with pytest.raises(ConnectionResetError):
                await channel.send([QueuedUnit(unit(1), (VIDEO,))])
            with pytest.raises(ConnectionResetError):
                channel.keep_alive()
            channel.abort()

    uvloop.run(send_after_the_reset())


async def test_a_target_that_breaks_the_protocol_while_it_is_sent_to_is_a_reset() -> None:
    async with platform() as there:
        channel = channel_to(there.port)
        await channel.open()
        assert there.writer is not None
        there.writer.write(b"\xff" * 4_096)
        failure = await channel.watch()
        assert failure == Failure(TargetErrorClass.RESET, failure.message)
        assert "broke the RTMP protocol" in failure.message
        channel.abort()
