"""A host with several addresses: one that is dead costs a moment, and none escapes the guard."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from sluice_media.contract import AddressGuard
from sluice_media.net import address_guard as guard_module
from sluice_media.net.address_guard import AddressRules, DialGuard, NotAllowedError
from sluice_media.net.happy_eyeballs import first_to_connect, interleaved
from sluice_media.net.trust import client_context
from tests.support.black_hole import black_hole
from tests.support.ports import free_port
from tests.support.push_peers import Authority

DEAD, GOOD = "127.0.0.2", "127.0.0.3"


def dialling(*addresses: str) -> DialGuard:
    async def resolve(_: str) -> Sequence[str]:
        return addresses

    return DialGuard(AddressRules.of(AddressGuard(allowed=["127.0.0.0/8"])), resolve)


@asynccontextmanager
async def greeting(
    host: str, port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"here")
        writer.close()

    server = await asyncio.start_server(greet, host, port, ssl=tls)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_dead_first_address_does_not_keep_us_from_the_second() -> None:
    async with greeting(GOOD) as port:
        with black_hole(DEAD, port):
            began = time.monotonic()
            reader, writer = await dialling(DEAD, GOOD).dial("two.example", port)
            took = time.monotonic() - began
            assert await reader.read() == b"here"
            writer.close()
    print(f"dead first address: connected after {took:.2f} s")
    assert took < guard_module.CONNECT_SECONDS


async def test_several_dead_addresses_do_not_keep_us_from_the_last() -> None:
    dead = [f"127.0.0.{last}" for last in range(10, 17)]
    async with greeting(GOOD) as port:
        with contextlib.ExitStack() as holes:
            for address in dead:
                holes.enter_context(black_hole(address, port))
            reader, writer = await dialling(*dead, GOOD).dial("many.example", port)
            assert await reader.read() == b"here"
            writer.close()


async def test_tls_has_its_own_time_after_a_dead_address(authority: Authority) -> None:
    trust = client_context(authority.pem)
    async with greeting(GOOD, tls=authority.server(address=GOOD)) as port:
        with black_hole(DEAD, port):
            reader, writer = await ServerAtBoth().dial(GOOD, port, trust)
            assert await reader.read() == b"here"
            writer.close()


class ServerAtBoth(DialGuard):
    """A host whose name is the good address, which the certificates are for."""

    def __init__(self) -> None:
        super().__init__(AddressRules.of(AddressGuard()))

    async def addresses(self, host: str) -> tuple[guard_module.Address, ...]:
        return ip_address(DEAD), ip_address(host)


@pytest.fixture
def mute() -> Iterator[tuple[str, int]]:
    """Accepts connections, and says nothing on them."""
    with socket.socket() as listener:
        listener.bind((DEAD, 0))
        listener.listen(8)
        yield listener.getsockname()


async def test_an_address_that_does_not_finish_tls_is_left_for_the_next_one(
    mute: tuple[str, int], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "TLS_SECONDS", 1.0)
    trust = client_context(authority.pem)
    async with greeting(GOOD, mute[1], authority.server(address=GOOD)):
        reader, writer = await ServerAtBoth().dial(GOOD, mute[1], trust)
        assert await reader.read() == b"here"
        writer.close()


async def test_a_certificate_that_is_refused_ends_the_search(authority: Authority) -> None:
    trust = client_context(authority.pem)
    async with (
        greeting(DEAD, tls=authority.server(address="192.0.2.1")) as port,
        greeting(GOOD, port, authority.server(address=GOOD)),
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            await ServerAtBoth().dial(GOOD, port, trust)


async def test_of_several_failures_an_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "CONNECT_SECONDS", 0.5)
    port = free_port(GOOD)
    with black_hole(DEAD, port):
        with pytest.raises(ConnectionRefusedError):
            await dialling(DEAD, GOOD).dial("two.example", port)
        with pytest.raises(TimeoutError):
            await dialling(DEAD).dial("one.example", port)


async def test_one_denied_address_among_several_is_the_end_before_any_is_dialled() -> None:
    async with greeting(GOOD) as port:
        with pytest.raises(NotAllowedError, match="metadata"):
            await dialling(GOOD, "169.254.169.254").dial("two.example", port)


def test_the_families_take_turns() -> None:
    texts = ["::1", "::2", "::3", "10.0.0.1"]
    turns = interleaved([ip_address(text) for text in texts])
    assert [str(a) for a in turns] == ["::1", "10.0.0.1", "::2", "::3"]


async def test_a_connection_that_comes_too_late_is_closed() -> None:
    addresses = [ip_address("10.0.0.1"), ip_address("10.0.0.2")]
    go = asyncio.Event()
    closed: list[str] = []

    async def connect(address: guard_module.Address) -> str:
        await go.wait()
        return str(address)

    async def both_at_once() -> None:
        await asyncio.sleep(0.05)
        go.set()

    setting = asyncio.create_task(both_at_once())
    address, made = await first_to_connect(
        addresses, connect, closed.append, delay_seconds=0.01, rank=lambda _: 0
    )
    await setting
    assert str(address) == made
    assert [made, *closed] in (["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"])


async def test_when_the_caller_is_cancelled_nothing_is_left_dialling() -> None:
    ended: list[str] = []

    async def connect(address: guard_module.Address) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.append(str(address))

    addresses = [ip_address("10.0.0.1"), ip_address("10.0.0.2")]
    task = asyncio.create_task(
        first_to_connect(addresses, connect, lambda _: None, delay_seconds=0.01, rank=lambda _: 0)
    )
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["10.0.0.1", "10.0.0.2"]
