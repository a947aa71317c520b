"""Load on the rig: the load generator, and the CPU time of processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.restream import cpu_seconds
from tests.kube.go_build import go, require_go
from tests.support.edge_play_rig import EdgePlayRig
from tests.support.play_rig import PlayPod

__all__ = ["CpuMeter", "LoadGenerator", "Viewers"]

_SOURCES = Path(__file__).parents[1] / "edge_load"


@dataclass(slots=True)
class CpuMeter:
    """CPU time of processes since the meter was made."""

    pids: Sequence[int]
    began: float = field(init=False)
    spent: float = field(init=False)

    def __post_init__(self) -> None:
        self.began, self.spent = self._clock(), sum(map(cpu_seconds, self.pids))

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    def percent(self) -> float:
        """Return the per cent of a core that the processes have used together."""
        spent = sum(map(cpu_seconds, self.pids)) - self.spent
        return 100 * spent / (self._clock() - self.began)


@dataclass(frozen=True, slots=True)
class Viewers:
    """One run of the load generator."""

    count: int
    seconds: float
    url: str
    """URL of the stream for the viewers, without a slash at its end."""
    reference: str
    """URL of the stream for the reference client."""
    mirror: Path | None = None
    """Folder into which the reference client writes the files that viewers read at ``url``."""


class LoadGenerator:
    """The viewers: the program ``edge_load``, which is not written in Python because it shares the
    machine with the edge that it loads."""

    def __init__(self, folder: Path) -> None:
        self._binary = folder / "edge_load"
        if not self._binary.exists():
            require_go()
            go(["build", "-o", str(self._binary), "."], _SOURCES)

    async def run(
        self, rig: EdgePlayRig, pod: PlayPod, viewers: Viewers, pids: Sequence[int] = ()
    ) -> dict[str, Any]:
        """Play the video rendition; return the program's figures, with the CPU time of ``pids``."""
        session = await rig.session(pod)
        arguments = {
            "url": viewers.url,
            "reference": viewers.reference,
            "playlist": f"{session}/video.m3u8",
            "bearer": rig.edge_token,
            "viewers": viewers.count,
            "seconds": viewers.seconds,
            "pids": ",".join(map(str, pids)),
            "mirror": viewers.mirror or "",
        }
        command = [f"-{name}={value}" for name, value in arguments.items()]
        process = await asyncio.create_subprocess_exec(
            str(self._binary), *command, stdout=asyncio.subprocess.PIPE
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, f"edge_load failed with {process.returncode}"
        found: dict[str, Any] = json.loads(output)
        return found
