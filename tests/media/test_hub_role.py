"""The ingest role as a process: files in, ports and status out, and a clean way to go."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sluice_media.contract import IngestStatus, LegHello
from tests.media.test_hub_legs import until
from tests.support.hub_rig import LegClient, RawReader
from tests.support.hub_world import config
from tests.support.ports import free_port

CANARY = "canary-key-4711"
HUB_TOKEN = "hub-canary-4712"
SOURCES = Path(__file__).parents[2] / "images/media/src"


class Pod:
    """An ingest process with its mounted files."""

    def __init__(self, folder: Path, client: aiohttp.ClientSession) -> None:
        self._folder = folder
        self._client = client
        self.hub = f"http://127.0.0.1:{(hub := free_port())}"
        self.status_url = f"http://127.0.0.1:{(status := free_port())}"
        self._ports = {"SLUICE_HUB_PORT": str(hub), "SLUICE_STATUS_PORT": str(status)}
        self.log = b""
        self.process: asyncio.subprocess.Process

    def write(self, key: str | None = CANARY, **changes: object) -> None:
        (self._folder / "keys/hub").mkdir(parents=True, exist_ok=True)
        (self._folder / "keys/ingest").mkdir(parents=True, exist_ok=True)
        (self._folder / "keys/hub/token").write_text(HUB_TOKEN)
        token = self._folder / "keys/ingest/token"
        token.write_text(key) if key else token.unlink(missing_ok=True)
        (self._folder / "config.json").write_text(config(**changes).to_json())

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sluice_media",
            "ingest",
            env={
                **os.environ,
                **self._ports,
                "PYTHONPATH": str(SOURCES),
                "POD_UID": "pod-1",
                "SLUICE_BIND": "127.0.0.1",
                "SLUICE_CONFIG_FILE": str(self._folder / "config.json"),
                "SLUICE_KEYS_DIR": str(self._folder / "keys"),
                "SLUICE_SPOOL_DIR": str(self._folder / "spool"),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

        async def ready() -> None:
            while True:
                try:
                    async with self._client.get(f"{self.status_url}/readyz") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)

        await asyncio.wait_for(ready(), 60)

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        self.log, _ = await asyncio.wait_for(self.process.communicate(), 40)
        return self.process.returncode or 0

    async def status(self, version: int = -1, wait: int = 0) -> IngestStatus:
        async with self._client.get(
            f"{self.status_url}/v1/status",
            params={"version": str(version), "wait": str(wait)},
            headers={"Authorization": f"Bearer {HUB_TOKEN}"},
        ) as response:
            response.raise_for_status()
            return IngestStatus.model_validate_json(await response.text())

    async def metrics(self) -> str:
        async with self._client.get(f"{self.status_url}/metrics") as response:
            return await response.text()

    async def publish(self, leg: LegClient, key: str = CANARY) -> asyncio.Task[None]:
        """Opens a leg and leaves a task that listens to it."""
        accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            hello = LegHello(protocol="RTMP", connection=f"c{id(leg)}")
            async with leg.connected(self.hub, key, hello):
                accepted.set_result(None)
                await leg.closed.wait()

        task = asyncio.create_task(run())
        await asyncio.wait_for(accepted, 20)
        return task


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:
        pod = Pod(tmp_path, client)
        pod.write(resume_window_seconds=1, generation=3, hash="h1")
        await pod.start()
        try:
            yield pod
        finally:
            if pod.process.returncode is None:
                pod.process.kill()
                await pod.process.wait()


async def test_a_broadcast_shows_in_status_at_each_transition(pod: Pod) -> None:
    status = await pod.status()
    assert (status.config_generation, status.config_hash) == (3, "h1")
    assert status.pod_uid == "pod-1"
    assert not status.on_air
    leg = LegClient()
    seen: list[str] = []

    async def watch() -> None:
        version = status.version
        while True:
            now = await pod.status(version, wait=10)
            version = now.version
            words = ("connected", "delivers", "on air", "interrupted")
            flags = (now.primary_connected, now.primary_delivers, now.on_air, now.interrupted)
            seen.append(" ".join(word for word, on in zip(words, flags, strict=True) if on))

    watching = asyncio.create_task(watch())
    listening = await pod.publish(leg)
    leg.start()
    await leg.play(2)
    leg.close()
    await until(lambda: seen and seen[-1] == "", 20)
    watching.cancel()
    listening.cancel()
    changes = [word for n, word in enumerate(seen) if not n or seen[n - 1] != word]
    assert changes[-3:] == ["connected delivers on air", "interrupted", ""]
    last = await pod.status()
    assert last.session is not None
    assert last.session.finished_at is not None
    assert last.session.end_reason == "WindowPassed"
    assert last.session.protocol == "RTMP"
    assert last.past_sessions == [last.session]
    assert last.media is not None
    assert (last.media.video_codec, last.media.audio_codec) == ("h264", "aac")
    assert (last.media.width, last.media.height) == (640, 360)
    text = await pod.metrics()
    assert 'sluice_hub_legs_total{protocol="RTMP"} 1.0' in text
    assert "sluice_hub_units_total 100.0" in text
    assert await pod.stop() == 0


async def test_a_rotated_key_cuts_within_two_seconds(pod: Pod) -> None:
    leg = LegClient()
    listening = await pod.publish(leg)
    leg.start()
    leg.send(5)
    pod.write(key="another-key", resume_window_seconds=1, generation=4)
    await until(lambda: leg.end_reason == "KeyRotated", 6)
    listening.cancel()
    late = LegClient()
    refused = await pod.publish(late)
    assert late.status == 401
    refused.cancel()
    status = await pod.status()
    assert status.last_rejection is not None
    assert status.last_rejection.reason == "BadKey"
    assert status.config_generation == 4
    pod.write(key=None, resume_window_seconds=1)
    version = status.version
    while (status := await pod.status(version, wait=2)).config_error_reason is None:
        version = status.version
    assert status.config_error_reason == "SecretKeyMissing"


async def _refusal(pod: Pod) -> tuple[int, str]:
    """The answer to one more publisher, who is refused."""
    newcomer = LegClient()
    refused = await pod.publish(newcomer)
    refused.cancel()
    return newcomer.status, newcomer.refusal["reason"]


async def test_sigterm_keeps_what_is_on_air_and_sends_newcomers_on(pod: Pod) -> None:
    leg = LegClient()
    listening = await pod.publish(leg)
    leg.start()
    leg.send(30)
    async with aiohttp.ClientSession() as client:
        response = await client.get(
            f"{pod.hub}/v1/timeline", headers={"Authorization": f"Bearer {HUB_TOKEN}"}
        )
        reader = RawReader(response)
        reading = asyncio.create_task(reader.run())
        await until(lambda: reader.pictures)
        pod.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            while await _refusal(pod) != (503, "Draining"):
                await leg.play(0.1)  # not silent, else its place is free
        await leg.play(1)
        await until(lambda: reader.pictures[-1] == leg.number - 1)
        leg.close()
        assert await pod.stop() == 0
        await until(reader.done.is_set)
        reading.cancel()
    listening.cancel()


async def test_keys_are_in_no_log_status_or_metric(pod: Pod) -> None:
    for key in (CANARY, "wrong-canary-4713"):
        leg = LegClient()
        listening = await pod.publish(leg, key)
        if leg.status == 101:
            leg.start()
            leg.raw(b"\x09\xff\xff\xff" + CANARY.encode() * 10)
            await until(lambda: leg.end_reason == "BadMedia")  # noqa: B023
        listening.cancel()
    said: list[Any] = [(await pod.status()).to_json(), await pod.metrics()]
    assert await pod.stop() == 0
    said.append(pod.log.decode())
    assert json.dumps(said).count("leg_refused") == 1
    assert not any("canary" in text for text in said)
