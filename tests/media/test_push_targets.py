"""Whom a pusher may meet: nginx-rtmp that refuses, peers that are no RTMP server, wrong
configurations, and its own role as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from sluice_media.contract import PusherStatus, PushState
from sluice_media.push import connection
from sluice_media.rtmp.chunk import ChunkWriter
from sluice_media.rtmp.messages import MessageType
from sluice_media.units import Codec
from tests.media.fake_hub import TOKEN
from tests.media.media_clips import Clip, frame_hashes, make_clip
from tests.media.push_rig import (
    PushRig,
    broadcast,
    class_of,
    finish,
    running_push,
)
from tests.support.frames import runs
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
        await push.until_state(state, 5)
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
        await push.until_state(PushState.IDLE, 2)
        await asyncio.wait_for(gone.wait(), 2)
        assert push.status.last_error is None
        source.go_on_air()
        await push.until(lambda status: status.attempts == 2 and len(connected) == 2, 5)
        assert push.status.state is PushState.CONNECTING
    server.close()


async def test_hevc_is_not_pushed_to_a_server_that_does_not_announce_it(
    short: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with (
        broadcast(short, live=False) as source,
        running_push(tmp_path / "p", source, target.url) as push,
    ):
        h264 = source.formats
        source.formats = (replace(h264[0], codec=Codec.HEVC), *h264[1:])
        source.go_on_air()
        await push.until(lambda status: status.idle_reason == "CodecMismatch", 3)
        assert push.status.message is not None
        assert "H.264" in push.status.message
        assert push.status.attempts == 1
        assert push.status.last_error is None
        target.kill()
        target.start()
        source.interrupt()
        source.hub.begin(h264, source.hub.timeline)
        source.go_on_air()
        await push.until_state(PushState.LIVE, 5)
        assert push.status.message is None


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
        await push.until(lambda status: status.config_error_reason == "InvalidUri", 2)
        assert "port" in (push.status.config_error or "")
        push.put_uri(f"{target.url}/{CANARY}")
        await push.until_state(PushState.LIVE, 5)
        assert push.status.config_error is None
        assert push.status.target == target.url
        assert "canary" not in push.board.answer()


async def test_switched_off_disconnects_and_a_changed_key_dials_anew(
    long: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with broadcast(long) as source, running_push(tmp_path / "p", source, target.url) as push:
        await push.until_state(PushState.LIVE, 5)
        digest = push.status.target_digest
        push.configure(target.url, key="key", active=False)
        await push.until(lambda status: status.idle_reason == "Disabled", 2)
        await finish(target)
        target.start()
        push.configure(target.url, key=CANARY)
        await push.until_state(PushState.LIVE, 5)
        assert push.status.target_digest != digest
        assert push.status.config_generation == 3


NGINX = """
daemon off; worker_processes 1; error_log {folder}/error.log notice; pid {folder}/pid;
load_module {module};
events {{ worker_connections 64; }}
rtmp {{ server {{
  listen {host}:{port};
  application live {{ live on; record all; record_path {folder}; record_suffix .flv; }}
}} }}
"""
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[str]:
    """nginx-rtmp that takes any key once; yields its application's URL."""
    if not NGINX_MODULE.exists():
        pytest.skip("libnginx-mod-rtmp is not installed")
    folder, port = tmp_path / "nginx", free_port(HOST)
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, host=HOST, port=port, module=NGINX_MODULE))
    command = ["nginx", "-p", str(folder), "-e", str(folder / "early.log"), "-c", str(config)]
    process = subprocess.Popen([*command, "-g", "user root;"])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 0.2):
            break
        time.sleep(0.05)
    yield f"rtmp://{HOST}:{port}"
    process.terminate()
    process.wait(10)


async def test_nginx_gets_every_frame(short: Clip, nginx: str, tmp_path: Path) -> None:
    async with (
        broadcast(short, live=False) as source,
        running_push(tmp_path / "p", source, f"{nginx}/live", key=CANARY) as push,
    ):
        source.go_on_air()
        await push.until_state(PushState.LIVE, 5)
        await source.played()
        source.end()
        await push.until_state(PushState.IDLE, 5)
        await asyncio.sleep(0.5)
    got = tmp_path / "nginx" / f"{CANARY}.flv"
    assert frame_hashes(got) == frame_hashes(short.path)


async def test_a_key_that_is_taken_is_rejected_and_the_key_is_not_shown(
    long: Clip, nginx: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        broadcast(long) as source,
        running_push(tmp_path / "a", source, f"{nginx}/live", key=CANARY) as first,
    ):
        await first.until_state(PushState.LIVE, 5)
        async with running_push(tmp_path / "b", source, f"{nginx}/live", key=CANARY) as second:
            await second.until_state(PushState.REJECTED, 5)
            assert class_of(second.status) == "BadName"
            assert "canary" not in second.board.answer()
            assert first.status.state is PushState.LIVE
            assert second.status.target_digest == first.status.target_digest
        source.end()
        await first.until_state(PushState.IDLE, 5)
    captured = capfd.readouterr()
    assert "push_state" in captured.out
    assert "canary" not in captured.out + captured.err


async def test_an_application_that_does_not_exist(short: Clip, nginx: str, tmp_path: Path) -> None:
    async with (
        broadcast(short) as source,
        running_push(tmp_path / "p", source, f"{nginx}/nothing") as push,
    ):
        await push.until(lambda status: status.last_error is not None, 5)
        # nginx-rtmp just closes; that is all there is to tell.
        assert class_of(push.status) == "Closed"
        assert push.status.last_error is not None
        assert "address" in push.status.last_error.message


async def test_the_role_unpublishes_when_it_is_told_to_go(
    long: Clip, target: RtmpTarget, tmp_path: Path
) -> None:
    async with broadcast(long) as source:
        rig = PushRig(tmp_path / "role", source.hub.port)
        rig.folder.mkdir()
        rig.configure(target.url, key="key")
        port = free_port(HOST)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "images/media/src"),
            "POD_UID": "pod-uid",
            "SLUICE_CONFIG_FILE": str(rig.folder / "config.json"),
            "SLUICE_KEYS_DIR": str(rig.keys),
            "SLUICE_HUB_PORT": str(source.hub.port),
            "SLUICE_STATUS_PORT": str(port),
            "SLUICE_BIND": HOST,
        }
        role = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sluice_media", "push"), env=environment
        )
        async with aiohttp.ClientSession() as http:
            status = await live_status(http, f"http://{HOST}:{port}")
            assert (status.pod_uid, status.state) == ("pod-uid", PushState.LIVE)
            await asyncio.sleep(2)
            async with http.get(f"http://{HOST}:{port}/metrics") as reply:
                assert 'sluice_push_state{state="Live"} 1.0' in await reply.text()
        begin = time.monotonic()
        role.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(role.wait(), 10) == 0
        assert time.monotonic() - begin < 3
        await finish(target)
    [first, *_] = runs(target.file, {"long": long.path})
    assert len(first) > 50


async def live_status(http: aiohttp.ClientSession, base: str) -> PusherStatus:
    """The status of a role once it is Live."""
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
        if status.state is PushState.LIVE:
            return status
    raise AssertionError("the role never became Live")
