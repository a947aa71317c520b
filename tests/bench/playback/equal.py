"""Two play pods serve the same bytes at every moment, also after one was replaced."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.bench.playback.report import Report
from tests.support.frames import make_clip
from tests.support.play_rig import PlayPod, PlayRig, play_rig
from tests.support.publish import Publisher

__all__ = ["measure"]

DVR_SECONDS = 120
KILL_AT = (0.2, 0.6)
"""When each pod is killed, as a share of the run."""
AWAY_SECONDS = 20.0
TRIES = 8
RETRY_SECONDS = 0.1
NEWEST_TS = 3
"""Segments of MPEG-TS that are compared each second: a pod makes them when they are requested."""
MIN_SHARE = 0.9
"""Share of the seconds with two ready pods in which their playlists must have been compared."""
_TRACKS = ("video", "audio")
_FILES = re.compile(r'(?:URI="|^)(\w+/[\w.]+\.(?:m4s|mp4|ts))', re.MULTILINE)
_HINT = re.compile(r"#EXT-X-PRELOAD-HINT:.*")


@dataclass
class Comparison:
    """What was compared, and what was not equal."""

    rig: PlayRig
    session: str
    counts: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    async def second(self) -> None:
        """Compare everything once, when both pods are ready."""
        if not all([await self._is_ready(pod) for pod in self.rig.pods]):
            self.counts["seconds with one pod"] += 1
            return
        self.counts["seconds with two pods"] += 1
        for _ in range(TRIES):
            if (texts := await self._playlists()) is not None:
                break
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
        self.counts["seconds compared"] += 1
        for path, (first, second) in texts.items():
            self.counts["playlists and MPDs"] += 1
            if first != second:
                self.differences.append(f"{path}:\n{first[1].decode()}\n{second[1].decode()}")
        await self._media({path: answers[0][1].decode() for path, answers in texts.items()})

    async def _is_ready(self, pod: PlayPod) -> bool:
        try:
            return (await self.rig.get(pod, "ready"))[0] == 200
        except aiohttp.ClientError:
            return False

    async def _state(self) -> list[tuple[str, ...]]:
        """Return the part that each playlist announces, for each pod."""
        found = await asyncio.gather(
            *(
                self.rig.text(pod, f"{self.session}/{track}.m3u8")
                for pod in self.rig.pods
                for track in _TRACKS
            )
        )
        hints = ["".join(_HINT.findall(text)) for text in found]
        return [tuple(hints[: len(_TRACKS)]), tuple(hints[len(_TRACKS) :])]

    async def _both(self, path: str) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
        first, second = self.rig.pods
        return await asyncio.gather(self.rig.get(first, path), self.rig.get(second, path))

    async def _playlists(
        self,
    ) -> dict[str, tuple[tuple[int, bytes], tuple[int, bytes]]] | None:
        """Return all playlists of both pods; None when one pod was a part ahead of the other."""
        before = await self._state()
        if before[0] != before[1]:
            return None
        paths = ["index.m3u8", "mpegts.m3u8", "index.mpd"]
        paths += [f"{self.session}/{name}.m3u8" for name in (*_TRACKS, "mpegts")]
        found = dict(zip(paths, await asyncio.gather(*map(self._both, paths)), strict=True))
        return found if await self._state() == before else None

    async def _media(self, texts: dict[str, str]) -> None:
        """Compare all listed segments, parts and init segments."""
        paths = []
        for name in (*_TRACKS, "mpegts"):
            text = _HINT.sub("", texts[f"{self.session}/{name}.m3u8"])
            listed = list(dict.fromkeys(_FILES.findall(text)))
            paths += listed[-NEWEST_TS:] if name == "mpegts" else listed
        for path in paths:
            first, second = await self._both(f"{self.session}/{path}")
            self.counts["segments and parts"] += 1
            self.counts["bytes"] += len(first[1])
            if first != second or first[0] != 200:
                self.differences.append(f"{path}: status {first[0]} and {second[0]}")


async def _replace(rig: PlayRig, pod: PlayPod, report: Report) -> None:
    """Kill a pod, remove its disk, and start it again later."""
    await pod.kill()
    await asyncio.to_thread(shutil.rmtree, pod.folder / "spool", ignore_errors=True)
    await asyncio.sleep(AWAY_SECONDS)
    await rig.run_pod(pod)
    report.note(f"{pod.name} was killed, lost its disk, and was started again")


async def measure(report: Report, folder: Path, *, minutes: float) -> None:
    """Compare two pods each second, while each is replaced once."""
    folder.mkdir()
    clip = make_clip(folder / "clip.flv", b_frames=2)
    clock = asyncio.get_running_loop().time
    async with play_rig(folder / "rig", pods=2, dvr_seconds=DVR_SECONDS, hls_mpegts=True) as rig:
        with Publisher(clip, rig.url, loop=True):
            text = await rig.until_found(rig.pods[0], "index.m3u8")
            await rig.until_found(rig.pods[1], "index.m3u8")
            found = re.search(r"^([0-9a-f]+)/video\.m3u8$", text, re.MULTILINE)
            assert found is not None, text
            both = Comparison(rig, found[1])
            began, seconds = clock(), 60 * minutes
            kills = list(zip(KILL_AT, rig.pods, strict=True))
            async with asyncio.TaskGroup() as tasks:
                while clock() - began < seconds:
                    second = clock()
                    if kills and second - began >= kills[0][0] * seconds:
                        tasks.create_task(_replace(rig, kills.pop(0)[1], report))
                        await asyncio.sleep(0)
                    await both.second()
                    await asyncio.sleep(max(0.0, second + 1 - clock()))
    _judge(report, both)


def _judge(report: Report, both: Comparison) -> None:
    report.note(", ".join(f"{name}: {count}" for name, count in both.counts.items()))
    for text in both.differences[:3]:
        report.note(text)
    report.figure("differences between two play pods", len(both.differences), "", limit=0)
    possible = both.counts["seconds with two pods"]
    missed = possible - both.counts["seconds compared"]
    report.figure(
        "seconds without a moment at which both pods had the same newest part",
        *(missed, "s"),
        limit=round((1 - MIN_SHARE) * possible),
    )
