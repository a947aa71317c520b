"""Whom a pusher may meet: nginx-rtmp that refuses, peers that are no RTMP server, wrong
configurations, and its own role as a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sluice_media.contract import PusherStatus, PushState
from sluice_media.formats.units import Codec
from sluice_media.protocols.rtmp.chunk import ChunkWriter
from sluice_media.protocols.rtmp.messages import MessageType
from sluice_media.push import connection
from tests.support.black_hole import black_hole
from tests.support.fake_hub import TOKEN
from tests.support.frames import runs
from tests.support.media_clips import Clip, make_clip
from tests.support.push_peers import Nginx, line_to, nginx_rtmp, srt_target
from tests.support.push_rig import (
    PushRig,
    broadcast,
    class_of,
    finish,
    listening,
    running_push,
)
from tests.support.target import RtmpTarget, free_port

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
NONSENSE_COMMAND = ChunkWriter().encode(3, MessageType.COMMAND, 0, 0, b"\x02\x00\xffcut short")
CANARY = "canary-5f2e9c-stream-key"


@pytest.fixture(scope="module")
def short(clips: Path) -> Clip:
    return make_clip(clips / "short.flv", seconds=5, video="320x180", gop=25)


@pytest.fixture(scope="module")
def long(clips: Path) -> Clip:
    return make_clip(clips / "long.flv", seconds=60, video="320x180", gop=25)


async def test_a_name_that_does_not_resolve(short: Clip, tmp_path: Path) -> None:
    async with (
        broadcast(short) as source,
        running_push(tmp_path / "p", source, "rtmp://no.invalid/app") as p,
    ):
        await p.until_state(PushState.BACKOFF, 10)
        assert class_of(p.status) == "Dns"


async def two_addresses(_: str) -> Sequence[str]:
    """The first one is dead."""
    return ["127.0.0.2", HOST]


async def test_a_target_whose_first_address_is_dead_is_live_at_the_first_try(
    short: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    port = int(target.url.split(":")[2].partition("/")[0])
    with black_hole("127.0.0.2", port):
        async with (
            broadcast(short) as source,
            running_push(
                tmp_path / "p", source, f"rtmp://two.example:{port}/live", resolver=two_addresses
            ) as push,
        ):
            took = await push.until_state(PushState.LIVE)
            print(f"dead first address: Live after {took:.2f} s")
            assert push.status.attempts == 1


async def test_an_srt_target_whose_first_address_is_dead_is_live_at_the_first_try(
    short: Clip, tmp_path: Path
) -> None:
    port = free_port(HOST)
    with srt_target("srt-live-transmit", port, tmp_path / "got.ts"):
        async with (
            broadcast(short) as source,
            running_push(
                tmp_path / "p", source, f"srt://two.example:{port}", None, resolver=two_addresses
            ) as push,
        ):
            took = await push.until_state(PushState.LIVE)
            print(f"dead first address, SRT: Live after {took:.2f} s")
            assert push.status.attempts == 1


@pytest.mark.parametrize(
    ("answer", "state", "class_"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", PushState.REJECTED, "Unsupported"),
        (b"", PushState.BACKOFF, "Timeout"),
        (b"\x03" + bytes(3_072) + b"\xde\xad\xbe\xef" * 500, PushState.REJECTED, "Unsupported"),
        (b"\x03" + bytes(3_072) + NONSENSE_COMMAND, PushState.REJECTED, "Unsupported"),
    ],
    ids=["speaks HTTP", "says nothing", "garbage after the handshake", "nonsense in a command"],
)
async def test_a_peer_that_is_no_rtmp_server(
    answer: bytes,
    state: PushState,
    class_: str,
    short: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "OPEN_SECONDS", 0.5)

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(peer, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        broadcast(short) as source,
        running_push(tmp_path / "p", source, f"rtmp://{HOST}:{port}/app") as push,
    ):
        await push.until_state(state)
        assert class_of(push.status) == class_
    server.close()


async def test_a_session_that_ends_while_connecting_is_idle_at_once_and_the_next_one_dials_anew(
    short: Clip, tmp_path: Path
) -> None:
    connected: list[asyncio.StreamWriter] = []
    gone = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer)
        with contextlib.suppress(OSError):
            await reader.read(-1)
        gone.set()
        writer.close()

    server = await asyncio.start_server(mute, HOST, 0)
    port = server.sockets[0].getsockname()[1]
    async with (
        broadcast(short) as source,
        running_push(tmp_path / "p", source, f"rtmp://{HOST}:{port}/app") as push,
    ):
        await push.until(lambda status: bool(connected))
        assert push.status.state is PushState.CONNECTING
        source.end()
        await push.until_state(PushState.IDLE, 10)
        await asyncio.wait_for(gone.wait(), 10)
        assert push.status.last_error is None
        source.go_on_air()
        await push.until(lambda status: status.attempts == 2 and len(connected) == 2)
        assert push.status.state is PushState.CONNECTING
    server.close()


async def test_hevc_is_not_pushed_to_a_server_that_does_not_announce_it(
    short: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with (
        broadcast(short, live=False) as source,
        running_push(tmp_path / "p", source, target.url, video_codecs="Announced") as push,
    ):
        h264 = source.formats
        source.formats = (replace(h264[0], codec=Codec.HEVC), *h264[1:])
        source.go_on_air()
        await push.until(lambda status: status.idle_reason == "CodecMismatch")
        assert push.status.message is not None
        assert "H.264" in push.status.message
        assert push.status.attempts == 1
        assert push.status.last_error is None
        target.kill()
        target.start()
        source.interrupt()
        source.hub.begin(h264, source.hub.timeline)
        source.go_on_air()
        await push.until_state(PushState.LIVE)
        assert push.status.message is None


async def test_hevc_is_pushed_to_a_server_that_announces_nothing(
    short: Clip, tmp_path: Path
) -> None:
    with nginx_rtmp(tmp_path / "nginx") as nginx:
        async with (
            broadcast(short, live=False) as source,
            running_push(tmp_path / "p", source, nginx.uri(), video_codecs="Announced") as push,
        ):
            source.formats = (replace(source.formats[0], codec=Codec.HEVC), *source.formats[1:])
            source.go_on_air()
            await push.until(lambda status: status.idle_reason == "CodecMismatch")
            assert "videoCodecs" in (push.status.message or "")
            push.configure(nginx.uri(), key="key", video_codecs="Assume")
            await push.until_state(PushState.LIVE)


async def test_what_is_wrong_with_the_configuration_is_said_and_put_right(
    long: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with (
        broadcast(long) as source,
        running_push(tmp_path / "p", source, None, key=None) as push,
    ):
        assert push.status.config_error_reason == "SecretKeyMissing"
        assert (push.status.state, push.status.idle_reason) == (PushState.IDLE, "SecretKeyMissing")
        push.put_uri(f"srt://{HOST}?passphrase={CANARY}")
        await push.until(lambda status: status.config_error_reason == "InvalidUri")
        assert "port" in (push.status.config_error or "")
        push.put_uri(f"{target.url}/{CANARY}")
        await push.until_state(PushState.LIVE)
        assert push.status.config_error is None
        assert push.status.target == target.url
        assert "canary" not in push.board.answer()


async def test_switched_off_disconnects_and_a_changed_key_dials_anew(
    long: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with broadcast(long) as source, running_push(tmp_path / "p", source, target.url) as push:
        await push.until_state(PushState.LIVE)
        digest = push.status.target_digest
        push.configure(target.url, key="key", active=False)
        await push.until(lambda status: status.idle_reason == "Disabled")
        await finish(target)
        target.start()
        push.configure(target.url, key=CANARY)
        await push.until_state(PushState.LIVE)
        assert push.status.target_digest != digest
        assert push.status.config_generation == 3


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    with nginx_rtmp(tmp_path / "nginx") as made:
        yield made


async def test_a_key_that_is_taken_is_rejected_and_the_key_is_not_shown(
    long: Clip, nginx: Nginx, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        broadcast(long) as source,
        running_push(tmp_path / "a", source, nginx.uri(), key=CANARY) as first,
    ):
        await first.until_state(PushState.LIVE)
        async with running_push(tmp_path / "b", source, nginx.uri(), key=CANARY) as second:
            await second.until_state(PushState.REJECTED)
            assert class_of(second.status) == "BadName"
            assert "canary" not in second.board.answer()
            assert first.status.state is PushState.LIVE
            assert second.status.target_digest == first.status.target_digest
        source.end()
        await first.until_state(PushState.IDLE)
    captured = capfd.readouterr()
    assert "push_state" in captured.out
    assert "canary" not in captured.out + captured.err


async def test_an_application_that_does_not_exist(
    short: Clip, nginx: Nginx, tmp_path: Path
) -> None:
    async with (
        broadcast(short) as source,
        running_push(tmp_path / "p", source, nginx.uri("nothing")) as push,
    ):
        await push.until(lambda status: status.last_error is not None)
        # nginx-rtmp just closes; that is all there is to tell.
        assert class_of(push.status) == "Closed"
        assert push.status.last_error is not None
        assert "address" in push.status.last_error.message
        await push.until_state(PushState.REJECTED, 10)
        assert push.status.attempts == 4
        assert class_of(push.status) == "Closed"


@asynccontextmanager
async def running_role(
    folder: Path, hub_port: int, uri: str, **how: Any
) -> AsyncIterator[tuple[Process, str]]:
    """A pusher as in its pod; yields its process and where its status is."""
    rig = PushRig(folder, hub_port)
    rig.folder.mkdir()
    rig.configure(uri, key="key")
    port = free_port(HOST)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "images/media/src"),
        "POD_UID": "pod-uid",
        "SLUICE_CONFIG_FILE": str(rig.folder / "config.json"),
        "SLUICE_KEYS_DIR": str(rig.keys),
        "SLUICE_HUB_PORT": str(hub_port),
        "SLUICE_STATUS_PORT": str(port),
        "SLUICE_BIND": HOST,
    }
    role = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sluice_media", "push"), env=environment, **how
    )
    try:
        yield role, f"http://{HOST}:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            role.kill()
        await role.wait()


async def test_the_role_goes_at_once_when_it_is_told_to_and_the_target_has_what_was_sent(
    long: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with (
        broadcast(long) as source,
        running_role(tmp_path / "role", source.hub.port, target.url) as (role, base),
    ):
        async with aiohttp.ClientSession() as http:
            status = await live_status(http, base)
            assert (status.pod_uid, status.state) == ("pod-uid", PushState.LIVE)
            await asyncio.sleep(2)
            async with http.get(f"{base}/metrics") as reply:
                assert 'sluice_push_state{state="Live"} 1.0' in await reply.text()
        begin = time.monotonic()
        role.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(role.wait(), 10) == 0
        assert time.monotonic() - begin < 8
        await finish(target)
    [first, *_] = runs(target.file, {"long": long.path})
    assert len(first) > 50


async def test_a_target_that_is_back_is_live_soon_after_the_retry_that_was_announced(
    long: Clip, tmp_path: Path
) -> None:
    target = RtmpTarget(HOST, free_port(HOST), tmp_path / "got.flv")
    log = (tmp_path / "log").open("w+b")
    async with (
        broadcast(long) as source,
        running_role(tmp_path / "role", source.hub.port, target.url, stdout=log) as (role, base),
        aiohttp.ClientSession() as http,
    ):
        await status_when(http, base, lambda status: status.attempts >= 3)
        with listening(target):
            await live_status(http, base)
        role.terminate()
        await asyncio.wait_for(role.wait(), 10)
    log.seek(0)
    states = [e for e in map(json.loads, log) if e["event"] == "push_state"]
    log.close()
    back = next(i for i, e in enumerate(states) if e["state"] == "Live")
    lost = [i for i in range(back) if states[i]["state"] == "Backoff"]
    dialled = [moment(states[i + 1]) - due(states[i]) for i in lost]
    took = moment(states[back]) - due(states[lost[-1]])
    print(f"dialled {max(dialled):.3f} s after a retry was due, Live after {took:.2f} s")
    assert len(lost) >= 2
    assert min(dialled) > -0.1
    assert max(dialled) < 5
    assert took < 8


def moment(entry: dict[str, Any]) -> float:
    return datetime.fromisoformat(entry["timestamp"]).timestamp()


def due(entry: dict[str, Any]) -> float:
    """When the next try is to be, by what the log says of the last one."""
    return moment(entry) + float(entry["retry_seconds"])


async def test_a_target_that_still_holds_a_lost_connection_is_back_without_a_long_wait(
    long: Clip, nginx: Nginx, tmp_path: Path
) -> None:
    async with (
        line_to(nginx.port) as line,
        broadcast(long) as source,
        running_push(tmp_path / "p", source, f"rtmp://{HOST}:{line.port}/live") as push,
    ):
        await push.until_state(PushState.LIVE)
        line.forget()
        await push.until(lambda status: class_of(status) == "BadName")
        assert push.status.state is PushState.BACKOFF
        line.reset()
        await push.until_state(PushState.LIVE)
        assert PushState.REJECTED not in push.states


async def live_status(http: aiohttp.ClientSession, base: str) -> PusherStatus:
    """The status of a role once it is Live."""
    return await status_when(http, base, lambda status: status.state is PushState.LIVE)


async def status_when(
    http: aiohttp.ClientSession, base: str, what: Callable[[PusherStatus], bool]
) -> PusherStatus:
    """The status of a role once it is so."""
    version, deadline = -1, time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            async with http.get(
                f"{base}/v1/status",
                params={"version": str(version), "wait": "5"},
                headers={"Authorization": f"Bearer {TOKEN}"},
            ) as reply:
                status = PusherStatus.model_validate_json(await reply.text())
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
            continue
        version = status.version
        if what(status):
            return status
    raise AssertionError("the role never came so far")
