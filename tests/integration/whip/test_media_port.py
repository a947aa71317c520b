"""One UDP port for all sessions: each datagram goes to its session."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from aioice import stun

from sluice_media.whip.media_port import MediaPort, stun_ufrag


class Agent:
    """An ICE agent that keeps all datagrams."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.transport: Any = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if data == b"poison":
            raise KeyError("PRIORITY")
        self.got.append(data)
        self.transport.sendto(b"answer", addr)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Sender:
    def __init__(self, port: MediaPort) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(port.local_address)

    async def send(self, data: bytes, *, answered: bool = True) -> None:
        self._socket.send(data)
        loop = asyncio.get_running_loop()
        if answered:
            async with asyncio.timeout(20):
                assert await loop.sock_recv(self._socket, 100) == b"answer"
        else:
            await asyncio.sleep(0.05)

    def close(self) -> None:
        self._socket.close()


def request(ufrag: str) -> bytes:
    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    message.attributes["PRIORITY"] = 1
    message.attributes["USERNAME"] = f"{ufrag}:theirs"
    message.add_message_integrity(b"secret")
    return bytes(message)


@pytest.fixture
async def port() -> AsyncIterator[MediaPort]:
    port = await MediaPort.open("127.0.0.1", 0)
    yield port
    port.close()


@pytest.fixture
async def sender(port: MediaPort) -> AsyncIterator[Sender]:
    sender = Sender(port)
    yield sender
    sender.close()


def test_the_user_name_of_a_binding_request_is_found() -> None:
    assert stun_ufrag(request("ours")) == "ours"


def test_other_datagrams_name_no_session() -> None:
    whole = request("ours")
    for datagram in (b"", b"\x00\x01", whole[:20], whole[:28], b"\x80" + whole[1:]):
        assert stun_ufrag(datagram) is None


async def test_media_follows_the_session_that_a_request_has_named(
    port: MediaPort, sender: Sender
) -> None:
    one, two = Agent(), Agent()
    port.join("one1", one)
    port.join("two2", two)
    await sender.send(request("two2"))
    await sender.send(b"\x80media")
    assert (one.got, two.got[1:]) == ([], [b"\x80media"])


async def test_datagrams_of_a_stranger_are_dropped_and_counted(sender: Sender) -> None:
    dropped: list[None] = []
    port = await MediaPort.open("127.0.0.1", 0, lambda: dropped.append(None))
    agent, stranger = Agent(), Sender(port)
    port.join("ours", agent)
    await stranger.send(b"\x80media", answered=False)
    await stranger.send(request("others"), answered=False)
    assert (agent.got, len(dropped), port.addresses) == ([], 2, 0)
    stranger.close()
    port.close()


async def test_a_forged_source_does_not_cut_a_running_session_off(
    port: MediaPort, sender: Sender
) -> None:
    victim, thief = Agent(), Agent()
    port.join("mine", victim)
    port.join("evil", thief)
    await sender.send(request("mine"))
    await sender.send(request("evil"))
    await sender.send(b"\x80media")
    assert thief.got == []
    assert victim.got[-1] == b"\x80media"


async def test_a_client_that_returns_with_its_port_gets_a_new_session(
    port: MediaPort, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.whip.media_port._ADDRESS_SILENCE_SECONDS", 0.05)
    old, new = Agent(), Agent()
    port.join("old1", old)
    port.join("new1", new)
    await sender.send(request("old1"))
    await asyncio.sleep(0.1)
    await sender.send(request("new1"))
    await sender.send(b"\x80media")
    assert (len(old.got), new.got[-1]) == (1, b"\x80media")
    old.transport.close()
    await sender.send(b"\x80media")
    assert port.addresses == 1


async def test_a_session_that_closes_leaves_nothing(port: MediaPort, sender: Sender) -> None:
    agent = Agent()
    port.join("ours", agent)
    await sender.send(request("ours"))
    agent.transport.close()
    agent.transport.close()
    await asyncio.wait_for(agent.lost.wait(), 20)
    assert (port.sessions, port.addresses) == (0, 0)
    await sender.send(b"\x80media", answered=False)
    assert len(agent.got) == 1


async def test_the_addresses_of_one_session_are_limited(port: MediaPort) -> None:
    port.join("ours", Agent())
    senders = [Sender(port) for _ in range(40)]
    for sender in senders:
        await sender.send(request("ours"), answered=False)
        sender.close()
    assert port.addresses == 32


async def test_a_user_name_fragment_is_used_once(port: MediaPort) -> None:
    port.join("ours", Agent())
    with pytest.raises(ValueError, match="in use"):
        port.join("ours", Agent())


def test_a_parser_that_breaks_does_not_close_the_port() -> None:
    async def scenario() -> None:
        port = await MediaPort.open("127.0.0.1", 0)
        agent, sender = Agent(), Sender(port)
        port.join("ours", agent)
        await sender.send(request("ours"))
        await sender.send(b"poison", answered=False)
        await sender.send(b"\x80media")
        assert agent.got[-1] == b"\x80media"
        sender.close()
        port.close()

    asyncio.run(scenario())
    uvloop.run(scenario())  # what the role runs on closes transports whose protocol raises
