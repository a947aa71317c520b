"""RTMPS: the same publishers under TLS, and a certificate that changes under them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog
import uvloop

from sluice_media.gateway import tls
from tests.support.certificates import MountedSecret
from tests.support.fake_hub_legs import KEY
from tests.support.gateway_rig import Rig, RtmpPublisher, until


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_POLL_SECONDS", 0.05)


@asynccontextmanager
async def rtmps(tmp_path: Path, **settings: object) -> AsyncIterator[tuple[Rig, MountedSecret]]:
    secret = MountedSecret(tmp_path / "tls")
    secret.renew("first")
    async with Rig(rtmps_port=0, tls_dir=secret.folder, **settings).running() as rig:
        yield rig, secret


def publisher(rig: Rig, stream_key: str = f"stream?{KEY}") -> RtmpPublisher:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return RtmpPublisher(rig.gateway.rtmps_port, "namespace", stream_key, tls=context)


async def presented(rig: Rig) -> str:
    """The certificate that a new connection is shown."""
    port = rig.gateway.rtmps_port
    return await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=20)


async def test_a_publisher_under_tls_is_one_of_protocol_rtmps(tmp_path: Path) -> None:
    async with rtmps(tmp_path) as (rig, _), publisher(rig) as encoder:
        await encoder.accepted()
        encoder.play(10)
        await until(lambda: rig.hub.legs and len(rig.hub.legs[0].pictures) == 10)
        assert rig.hub.legs[0].hello.protocol == "RTMPS"
        assert rig.hub.legs[0].hello.remote == "127.0.0.1"
        encoder.end()
        await until(lambda: rig.hub.legs[0].ended == "eof")


def test_on_the_event_loop_of_the_role_a_publisher_under_tls_ends_without_an_error(
    tmp_path: Path,
) -> None:
    async def publish() -> None:
        async with rtmps(tmp_path) as (rig, _), publisher(rig) as encoder:
            await encoder.accepted()
            encoder.play(10)
            encoder.end()
            await until(lambda: rig.hub.legs and rig.hub.legs[0].ended == "eof")

    with structlog.testing.capture_logs() as logged:
        uvloop.run(publish())
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == []


async def test_a_refused_publisher_hears_why_before_the_connection_ends(tmp_path: Path) -> None:
    async with rtmps(tmp_path) as (rig, _), publisher(rig, "stream?wrong") as encoder:
        assert "BadKey" in str(await encoder.answer())
        await asyncio.wait_for(encoder.closed.wait(), 20)


async def test_a_publisher_that_hangs_up_without_a_word_ends_its_leg(tmp_path: Path) -> None:
    async with rtmps(tmp_path) as (rig, _), publisher(rig) as encoder:
        await encoder.accepted()
        encoder.play(3)
        await until(lambda: rig.hub.legs and rig.hub.legs[0].pictures)
        encoder.hang_up()
        await until(lambda: rig.hub.legs[0].ended == "eof")


async def test_a_new_certificate_is_shown_to_new_connections_and_nobody_is_dropped(
    tmp_path: Path,
) -> None:
    async with rtmps(tmp_path) as (rig, secret), publisher(rig) as encoder:
        await encoder.accepted()
        before = await presented(rig)
        renewed = secret.renew("second")
        await until(lambda: rig.metric("tls_certificate_loads_total") == 2)
        after = await presented(rig)
        assert after.strip() == renewed.decode().strip() != before.strip()
        encoder.play(10)
        await until(lambda: len(rig.hub.legs[0].pictures) == 10)


async def test_a_broken_certificate_changes_nothing_and_is_shown(tmp_path: Path) -> None:
    async with rtmps(tmp_path) as (rig, secret):
        before = await presented(rig)
        secret.replace(b"no certificate", b"no key")
        await until(lambda: rig.metric("tls_certificate_broken") == 1)
        assert await presented(rig) == before
        secret.renew("third")
        await until(lambda: rig.metric("tls_certificate_broken") == 0)
        assert await presented(rig) != before


async def test_without_a_certificate_nobody_gets_in_until_there_is_one(tmp_path: Path) -> None:
    secret = MountedSecret(tmp_path / "tls")
    async with Rig(rtmps_port=0, tls_dir=secret.folder).running() as rig:
        assert rig.metric("tls_certificate_broken") == 1
        with pytest.raises(OSError, match=r".*"):
            await presented(rig)
        await until(lambda: rig.metric("tls_handshake_failures_total") == 1)
        secret.renew("late")
        await until(lambda: rig.metric("tls_certificate_broken") == 0)
        assert await presented(rig)


async def test_who_says_nothing_or_speaks_plain_rtmp_is_cut_in_time_and_counted(
    tmp_path: Path,
) -> None:
    async with rtmps(tmp_path, handshake_seconds=0.3) as (rig, _):
        port = rig.gateway.rtmps_port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 4.5) == b""
        writer.close()
        async with RtmpPublisher(port, "namespace", f"stream?{KEY}") as plain:
            await asyncio.wait_for(plain.closed.wait(), 4.5)
        await until(lambda: rig.metric("tls_handshake_failures_total") == 2)
        await until(lambda: not rig.gateway.connections)


async def test_tls_1_1_is_too_old(tmp_path: Path) -> None:
    async with rtmps(tmp_path) as (rig, _):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError, match=r".*"):
            await asyncio.open_connection("127.0.0.1", rig.gateway.rtmps_port, ssl=context)


async def test_connections_are_counted_before_their_handshake(tmp_path: Path) -> None:
    async with rtmps(tmp_path, max_connections_per_address=1) as (rig, _):
        port = rig.gateway.rtmps_port
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: rig.gateway.connections == 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 4.5) == b""
        assert rig.metric("connections_refused_total") == 1
        for each in (silent, writer):
            each.close()
