"""Garbage on every port of gateway and hub while a stream runs: nobody on air notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from pathlib import Path

from sluice_media.gateway.settings import GatewaySettings
from sluice_media.net import http_server
from sluice_media.timeline.leg_framing import LEG_PROTOCOL
from tests.support.broadcast_rig import broadcast_rig
from tests.support.gateway_rig import until
from tests.support.media_clips import make_clip

FLOOD_SECONDS = 4
TOKEN = "canary-of-a-half-right-request"
HEAD = f"Host: x\r\nAuthorization: Bearer {TOKEN}"
SRT_INDUCTION = bytes.fromhex("80000000000000000000000000000000") + bytes.fromhex("00000004")
UPGRADE = (
    f"POST /v1/legs HTTP/1.1\r\n{HEAD}\r\nConnection: Upgrade\r\nUpgrade: {LEG_PROTOCOL}\r\n\r\n"
).encode()


def garbage(rng: random.Random) -> bytes:
    """Something that a peer who is broken, lost or malicious sends."""
    noise = rng.randbytes(rng.randrange(1, 50_000))
    return rng.choice(
        (
            noise,
            b"\x03" + rng.randbytes(3_072) + noise,  # a whole RTMP handshake first
            UPGRADE + noise,
            f"GET /v1/timeline HTTP/1.1\r\n{HEAD} \x01\r\nno header {TOKEN}\r\n\r\n".encode(),
            b"GET /v1/sta",
            b"\x16\x03\x01\x02\x00\x01",  # the beginning of TLS
        )
    )


async def flood(port: int, seed: int, stop: asyncio.Event) -> None:
    rng = random.Random(seed)
    while not stop.is_set():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        try:
            writer.write(garbage(rng))
            await writer.drain()
            await asyncio.sleep(rng.choice((0, 0, 0.02, 0.1)))
        except OSError:
            pass
        writer.transport.abort()


async def flood_datagrams(port: int, seed: int, stop: asyncio.Event) -> None:
    """Noise, and what begins like an SRT handshake, from addresses that never answer."""
    rng = random.Random(seed)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        while not stop.is_set():
            for _ in range(20):
                head = rng.choice((b"", SRT_INDUCTION, b"\x80\x00" + bytes(14)))
                with contextlib.suppress(BlockingIOError):
                    sock.sendto(head + rng.randbytes(rng.randrange(0, 1_300)), ("127.0.0.1", port))
            await asyncio.sleep(0.01)


async def test_a_running_stream_loses_nothing(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.flv", seconds=7, gop=25)
    stop = asyncio.Event()
    async with broadcast_rig(tmp_path) as rig, rig.reading() as received:
        ports = (
            rig.rtmp_port, rig.rtmps_port, rig.hub_port, rig.hub_status_port,
            rig.gateway_status_port,
        )  # fmt: skip
        source = ("-re", "-i", str(clip.path), "-c", "copy", "-f", "flv", rig.url)
        encoder = asyncio.create_task(rig.publish("ffmpeg", "-v", "error", *source))
        await rig.until(lambda status: status.on_air)
        before = [rig.memory_mib(process) for process in (rig.gateway, rig.hub)]
        floods = [
            asyncio.create_task(flood(port, seed, stop))
            for seed, port in enumerate((*ports, *ports))
        ]
        floods.append(asyncio.create_task(flood_datagrams(rig.srt_port, 9, stop)))
        half_open = [(await asyncio.open_connection("127.0.0.1", port))[1] for port in ports * 40]
        await asyncio.sleep(FLOOD_SECONDS)
        stop.set()
        await asyncio.gather(*floods)
        after = [rig.memory_mib(process) for process in (rig.gateway, rig.hub)]
        assert await encoder == (0, "")
        pictures = [u.payload for u in clip.units if u.track == 0]
        await until(lambda: len(received.payloads(0)) >= len(pictures))
        assert received.payloads(0) == pictures
        for writer in half_open:
            writer.transport.abort()
        metrics = await rig.gateway_metrics()
        logs = rig.logs()

    assert metrics["sluice_gateway_protocol_errors_total"] > 10
    assert max(now - then for now, then in zip(after, before, strict=True)) < 40
    assert TOKEN not in logs
    assert "Traceback" not in logs
    for line in logs.splitlines():
        assert json.loads(line)["level"] in ("info", "warning"), line


async def test_a_connection_that_asks_nothing_is_cut(tmp_path: Path) -> None:
    limits = (GatewaySettings().handshake_seconds, http_server.FIRST_REQUEST_SECONDS)
    async with broadcast_rig(tmp_path) as rig:

        async def cut_after(port: int) -> float:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            begun = asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(reader.read(), 40)
            except ConnectionError:
                pass
            finally:
                writer.transport.abort()
            return asyncio.get_running_loop().time() - begun

        ports = (rig.rtmp_port, rig.hub_port, rig.hub_status_port)
        seconds = await asyncio.gather(*(cut_after(port) for port in ports))
        assert (await rig.status()).role == "ingest"
    expected = (limits[0], limits[1], limits[1])
    assert all(due - 1 < took < due + 10 for took, due in zip(seconds, expected, strict=True)), (
        seconds
    )
