"""A real hub and two legs with synthetic media, which connect, disconnect, stall and lose media.

The clocks of the legs pass 2^33 during the run. The figures are those of the hub alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from sluice_media.contract import HELLO_HEADER, LegHello, TimelineGap
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.net.upgrade import open_upgraded
from sluice_media.publishing.leg import PREAMBLE
from sluice_media.timeline.framing import encode_unit
from sluice_media.timeline.leg_framing import LEG_PROTOCOL, encode_formats
from tests.support.broadcast_rig import KEY
from tests.support.duo_rig import BACKUP_KEY, DuoRig, duo_rig
from tests.support.hub_rig import AUDIO, VIDEO

__all__ = ["Report", "soak"]

SAMPLE_SECONDS = 5.0
PICTURE_BYTES = 28_000
"""Size of a video frame: 6 Mb/s with the audio."""
FAULT_EVERY_SECONDS = 12.0
"""Mean time between faults on each leg."""
HOLE_SECONDS = 0.5
GOP = 50
FRAME = 3_600
BEFORE_WRAP = (1 << 33) - 15 * 90_000


@dataclass
class Encoder:
    """The encoder of one leg: video frames every 40 ms, except during a fault."""

    rig: DuoRig
    key: str
    dice: random.Random
    bytes_per_picture: int
    fault_every_seconds: float
    number: int = 0
    fault_until: float = 0.0
    fault: str = ""
    faults: int = 0

    async def run(self, deadline: float) -> None:
        connections = 0
        while time.monotonic() < deadline:
            connections += 1
            hello = LegHello(protocol="RTMP", connection=f"{self.key}-{connections}")
            headers = {HELLO_HEADER: hello.to_json(), "Authorization": f"Bearer {self.key}"}
            url = f"http://127.0.0.1:{self.rig.hub_port}/v1/legs"
            sock, _ = await open_upgraded(url, LEG_PROTOCOL, headers, method="POST")
            reader, writer = await asyncio.open_connection(sock=sock)
            acknowledgements = asyncio.create_task(reader.read())
            with contextlib.suppress(OSError):
                async for data in self._body(deadline):
                    writer.write(data)
                    await writer.drain()
            writer.transport.abort()
            await asyncio.gather(acknowledgements, return_exceptions=True)
            await asyncio.sleep(self.dice.uniform(0.2, 4))

    async def _body(self, deadline: float) -> AsyncIterator[bytes]:
        yield PREAMBLE
        yield encode_formats((VIDEO, AUDIO))
        started, started_us = time.monotonic(), time.time_ns() // 1_000
        for index in range(10**9):
            if (now := time.monotonic()) >= deadline:
                return
            if self._break_down(now):
                return
            if self.fault == "late":
                await asyncio.sleep(self.fault_until - now)
            self.number += 1
            if self.fault != "lost" or now >= self.fault_until:
                yield self._picture(started_us + index * 40_000)
            await asyncio.sleep(max(0.0, started + (index + 1) * 0.04 - time.monotonic()))

    def _break_down(self, now: float) -> bool:
        """Start a fault at random; return True if the encoder must disconnect."""
        if now < self.fault_until or self.dice.random() > 0.04 / self.fault_every_seconds:
            if now >= self.fault_until:
                self.fault = ""
            return False
        self.faults += 1
        self.fault = self.dice.choice(["late", "lost", "end"])
        self.fault_until = now + self.dice.uniform(0.3, 4)
        return self.fault == "end"

    def _picture(self, made_us: int) -> bytes:
        dts = BEFORE_WRAP + self.number * FRAME
        key = self.number % GOP == 0
        head = bytes((0x65 if key else 0x41,)) + made_us.to_bytes(8, "big") + self.key.encode()
        nal = head + b"\x55" * self.bytes_per_picture
        units = (
            AccessUnit(
                0,
                dts,
                dts,
                UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE,
                0,
                len(nal).to_bytes(4, "big") + nal,
            ),
            AccessUnit(1, dts, dts, UnitFlags.NONE, 0, b"\x21" * 300),
        )
        return b"".join(map(encode_unit, units))


@dataclass
class Report:
    memory_mib: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    cpu_share: float = 0.0
    faults: int = 0
    failovers: int = 0
    gaps: int = 0
    units: int = 0
    errors: list[str] = field(default_factory=list)

    @property
    def memory_spread(self) -> float:
        """Return the largest deviation from the mean, as a fraction of the mean."""
        mean = sum(self.memory_mib) / len(self.memory_mib)
        return max(abs(sample - mean) for sample in self.memory_mib) / mean


async def soak(
    folder: Path,
    seconds: float,
    warm_seconds: float,
    *,
    seed: int = 1,
    size: int = PICTURE_BYTES,
    fault_every_seconds: float = FAULT_EVERY_SECONDS,
) -> Report:
    report = Report()
    async with duo_rig(folder, resume_window_seconds=120) as rig:
        deadline = time.monotonic() + seconds
        encoders = [
            Encoder(rig, key, random.Random(seed + n), size, fault_every_seconds)
            for n, key in enumerate((KEY, BACKUP_KEY))
        ]
        async with asyncio.TaskGroup() as group:
            for encoder in encoders:
                group.create_task(encoder.run(deadline))
            sampling = group.create_task(_sample(rig, report, warm_seconds))
            await _read(rig, report, deadline)
            sampling.cancel()
        status = await rig.status()
        report.failovers = status.failovers
        report.faults = sum(encoder.faults for encoder in encoders)
        report.errors += re.findall(r"^.*(?:Traceback|\"level\": ?\"error\").*$", rig.logs(), re.M)
    return report


async def _read(rig: DuoRig, report: Report, deadline: float) -> None:
    """Read until the deadline; report every broken promise about the units as an error."""
    last: dict[int, AccessUnit] = {}
    gaps: set[int] = set()
    async with rig.timed_reading() as timed:
        while time.monotonic() < deadline:
            await asyncio.sleep(0.5)
            records, timed.records = timed.records, []
            for _, record in records:
                if isinstance(record, TimelineGap):
                    gaps.add(record.dts)
                    report.gaps += 1
                if not isinstance(record, AccessUnit):
                    continue
                report.units += 1
                before = last.get(record.track)
                last[record.track] = record
                if before is None:
                    continue
                if record.dts <= before.dts:
                    report.errors.append(f"DTS does not grow: {before.dts} {record.dts}")
                if record.track == 0 and record.dts not in gaps:
                    report.errors += _hole(before, record)


def _hole(before: AccessUnit, after: AccessUnit) -> list[str]:
    """Return an error if content is missing (by the time at which it was made) without a gap."""
    made = [int.from_bytes(unit.payload[5:13], "big") for unit in (before, after)]
    missing = (made[1] - made[0]) / 1e6 - (after.dts - before.dts) / 90_000
    return [f"a hole of {missing:.2f} s without a gap"] if missing > HOLE_SECONDS else []


async def _sample(rig: DuoRig, report: Report, warm_seconds: float) -> None:
    await asyncio.sleep(warm_seconds)
    started, used = time.monotonic(), _cpu_seconds(rig.hub.pid)
    while True:
        report.memory_mib.append(rig.memory_mib(rig.hub))
        report.files.append(len(list(Path(f"/proc/{rig.hub.pid}/fd").iterdir())))
        await asyncio.sleep(SAMPLE_SECONDS)
        report.cpu_share = (_cpu_seconds(rig.hub.pid) - used) / (time.monotonic() - started)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
