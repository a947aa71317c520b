"""The role as a process: ready, measured, and gone when told so."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

import aiohttp

import sluice_media
from tests.support.ports import free_port

FEW = 256


def few_descriptors() -> None:
    """As some containers begin: a low soft limit below a high hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))


async def test_the_gateway_is_ready_measured_and_ends_on_sigterm() -> None:
    rtmp_port, status_port = free_port(), free_port()
    source = Path(sluice_media.__file__).parent.parent
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sluice_media", "gateway"),
        env={
            **os.environ,
            "PYTHONPATH": str(source),
            "SLUICE_BIND": "127.0.0.1",
            "SLUICE_RTMP_PORT": str(rtmp_port),
            "SLUICE_STATUS_PORT": str(status_port),
        },
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=few_descriptors,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 60)
        assert b"gateway_ready" in line
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard > FEW
        async with aiohttp.ClientSession(f"http://127.0.0.1:{status_port}") as client:
            for path in ("/healthz", "/readyz"):
                async with client.get(path) as answer:
                    assert answer.status == 200
            reader, writer = await asyncio.open_connection("127.0.0.1", rtmp_port)
            writer.write(b"\x03")
            await asyncio.sleep(0.1)
            async with client.get("/metrics") as answer:
                assert "sluice_gateway_connections 1.0" in await answer.text()
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            assert process.returncode is None  # somebody is connected
            async with client.get("/readyz") as answer:
                assert answer.status == 200  # or kube-proxy would cut who publishes over UDP
        writer.close()
        assert not await reader.read()
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
