"""What a reader sees when the primary leg dies: ``python -m tests.bench failover [--runs N]``.

A real gateway, a real hub and two real encoders; no cluster. The encoder of the primary leg is
killed, frozen, or its packets are dropped (in a network namespace made by the run). Printed for
each run: for how long the reader got no picture, and which pictures of which encoder it got.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from sluice_media.contract import PushState, TimelineEnd, TimelineGap
from sluice_media.formats.units import AccessUnit
from tests.bench.figures import Figure
from tests.support.broadcast_rig import HUB_TOKEN
from tests.support.duo_rig import DuoRig, Timed, connection_dropped, duo_rig
from tests.support.frames import make_clip
from tests.support.media_clips import read_flv
from tests.support.ports import free_port
from tests.support.publish import Publisher
from tests.support.push_rig import PushRig, listening
from tests.support.target import RtmpTarget

__all__ = ["FAULTS", "Outcome", "main", "measure"]

FAULTS = {"kill": 0.1, "freeze": 1.0, "drop": 1.0}
"""Each with the limit of its p95 in seconds."""
RUNS = 30
CLIP_SECONDS = 60
MAX_REPEAT_SECONDS = 2.1
BEFORE_SECONDS = (2.0, 4.0)
"""The fault comes at any place in a group of pictures (2 s)."""
AFTER_SECONDS = 2.5


@dataclass(slots=True, frozen=True)
class Outcome:
    fault: str
    outage_seconds: float
    """Between the last picture of the primary and the first one of the backup, at the reader."""
    repeated_seconds: float
    """Content shown twice, by the wall clock; negative: content is missing."""
    runs: list[tuple[str, int, int]]
    gaps: int
    failovers: int
    push_restarts: int

    @property
    def fault_words(self) -> str:
        """What is wrong with it; empty when nothing is."""
        wrong = []
        if [name for name, _, _ in self.runs] != ["A", "B"]:
            wrong.append("not A then B, each without a hole")
        if not -0.1 <= self.repeated_seconds <= MAX_REPEAT_SECONDS:
            wrong.append("a hole, or more than a group of pictures twice")
        if self.gaps or self.failovers != 1 or self.push_restarts:
            wrong.append("gaps, failovers or pusher restarts")
        return "; ".join(wrong)


async def measure(fault: str, folder: Path, clips: dict[str, Path]) -> Outcome:
    """One run, with processes of its own."""
    async with duo_rig(folder / "pods") as rig:
        target = RtmpTarget("127.0.0.1", free_port(), folder / "pushed.flv")
        push = PushRig(folder / "push", rig.hub_port)
        push.folder.mkdir(parents=True)
        push.configure(f"{target.url}", key="key")
        (push.keys / "hub" / "token").write_text(HUB_TOKEN)
        with ExitStack() as on:
            on.enter_context(listening(target))
            primary = on.enter_context(Publisher(clips["A"], rig.url))
            await rig.until(lambda s: s.active_source == "Primary")
            on.enter_context(Publisher(clips["B"], rig.backup_url))
            await rig.until(lambda s: s.backup_delivers)
            async with rig.timed_reading() as timed, push.running():
                await push.until_state(PushState.LIVE)
                await asyncio.sleep(random.uniform(*BEFORE_SECONDS))
                with _broken(fault, primary, rig):
                    await rig.until(lambda s: s.active_source == "Backup")
                    await asyncio.sleep(AFTER_SECONDS)
                status = await rig.status()
                restarts = push.status.attempts - 1
        assert status.last_failover is not None
        assert not timed.of(TimelineEnd)
    return _judge(fault, timed, clips, status.failovers, restarts)


@contextmanager
def _broken(fault: str, primary: Publisher, rig: DuoRig) -> Iterator[None]:
    if fault == "drop":
        with connection_dropped(primary.pid, rig.rtmp_port):
            yield
        return
    primary.kill() if fault == "kill" else primary.freeze()
    yield


def _judge(
    fault: str, timed: Timed, clips: dict[str, Path], failovers: int, restarts: int
) -> Outcome:
    names = _names(clips)
    pictures = [(at, u, *names[u.payload]) for at, u in timed.units if u.track == 0]
    runs: list[tuple[str, int, int]] = []
    for _, _, name, number in pictures:
        if runs and runs[-1][0] == name and runs[-1][2] + 1 == number:
            runs[-1] = (name, runs[-1][1], number)
        else:
            runs.append((name, number, number))
    last = max(n for n, picture in enumerate(pictures) if picture[2] == "A")
    (stopped_at, before, *_), (resumed_at, after, *_) = pictures[last], pictures[last + 1]
    assert _grow([u for _, u in timed.units])
    return Outcome(
        fault,
        round(resumed_at - stopped_at, 3),
        round((before.utc_us - after.utc_us) / 1e6 + 0.04, 3),
        runs,
        len(timed.of(TimelineGap)),
        failovers,
        restarts,
    )


def _names(clips: dict[str, Path]) -> dict[bytes, tuple[str, int]]:
    """Each picture's clip and its place in order of decoding."""
    return {
        unit.payload: (name, number)
        for name, path in clips.items()
        for number, unit in enumerate(u for u in read_flv(path).units if u.track == 0)
    }


def _grow(units: list[AccessUnit]) -> bool:
    return all(
        a.dts < b.dts
        for track in (0, 1)
        for a, b in pairwise([u for u in units if u.track == track])
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="failover", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--json", type=Path, help="write all outcomes into this file")
    options = parser.parse_args(arguments)
    if "drop" in options.faults and "SLUICE_OWN_NETWORK" not in os.environ:
        return _in_a_network_of_its_own(arguments)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        clips = {
            name: make_clip(Path(folder) / f"{name}.flv", seconds=CLIP_SECONDS, label=name)
            for name in ("A", "B")
        }
        for fault in options.faults:
            for number in range(options.runs):
                run_folder = Path(folder) / f"{fault}-{number}"
                outcome = asyncio.run(measure(fault, run_folder, clips))
                print(outcome, outcome.fault_words or "fine", flush=True)
                outcomes.append(outcome)
    figures = [
        Figure(
            f"reader outage, primary {fault}",
            "s",
            tuple(o.outage_seconds for o in outcomes if o.fault == fault),
            FAULTS[fault],
        )
        for fault in options.faults
    ]
    print(*figures, sep="\n")
    wrong = [outcome for outcome in outcomes if outcome.fault_words]
    print(f"content: {len(outcomes) - len(wrong)} of {len(outcomes)} runs A then B without a hole")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))
    return 1 if wrong or any(figure.beyond for figure in figures) else 0


def _in_a_network_of_its_own(arguments: list[str]) -> int:
    """Starts this benchmark again where a DROP rule harms nobody else. Needs root."""
    script = 'ip link set lo up && exec "$@"'
    command = ["unshare", "--net", "sh", "-ec", script, "sh", sys.executable, "-m", "tests.bench"]
    os.environ["SLUICE_OWN_NETWORK"] = "1"
    os.execvp("unshare", [*command, "failover", *arguments])
