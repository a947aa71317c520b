"""Recordings of many hours: the 33 bits of a transport stream's clock last for 26.5 of them.

Real pictures and sound at the beginning, at the end and wherever the clock may wrap, for the
multiplexer, the demuxer and FFmpeg each have their own idea of where that is; in between a picture
and a sound now and then, so that hours are made in seconds.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from sluice_media.formats.units import AccessUnit
from sluice_media.record import chunks
from sluice_media.record.chunks import ChunkCutter, ClosedChunk
from sluice_media.record.plan import PlannedFile
from sluice_media.recording import media_time
from sluice_media.recording.journal import Journal
from sluice_media.recording.merge import MergedFile, merge
from sluice_media.recording.playlist import merged_playlist
from sluice_media.storage.object_store import open_volume
from sluice_media.store import finalize as finalize_module
from sluice_media.store.finalize import FinalizeJob, finalize
from sluice_media.timeline.framing import track_infos
from tests.support.media_clips import Clip, make_clip

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
PREFIX = "recordings/long"
CLIP_SECONDS = 20
TICKS = 90_000
WRAP = 1 << 33
CLOSE_TICKS = 90 * TICKS
LEAD_TICKS = 60 * TICKS
"""FFmpeg takes what is so far before the first unit for its successor."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("clip") / "av.flv"
    return make_clip(path, seconds=CLIP_SECONDS, gop=50, video="64x36")


@dataclass
class Recorded:
    file: MergedFile
    sent: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: {0: [], 1: []})
    """Track -> PTS and DTS of its units, from the first DTS on."""


def units(clip: Clip, hours: int, first_dts: int) -> Iterator[AccessUnit]:
    span = CLIP_SECONDS * TICKS
    base = clip.units[0].dts
    whole = [unit for unit in clip.units if unit.dts - base < span]
    # Less than 10 s apart: that is no hole here.
    pictures = [unit for unit in whole if unit.is_random_access and unit.track == 0][::4]
    sounds = [unit for unit in whole if unit.track == 1][::300]
    few = sorted((*pictures, *sounds), key=lambda unit: unit.dts)
    turns = hours * 3600 // CLIP_SECONDS + 1
    for turn in range(turns):
        at = first_dts + turn * span
        distances = ((at - place + WRAP // 2) % WRAP - WRAP // 2 for place in _wraps(first_dts))
        is_edge = turn == turns - 1 or any(abs(d) < CLOSE_TICKS for d in distances)
        for unit in whole if is_edge else few:
            yield replace(unit, dts=unit.dts - base + at, pts=unit.pts - base + at)


def _wraps(first_dts: int) -> tuple[int, int, int]:
    return 0, first_dts, first_dts - LEAD_TICKS


def record(folder: Path, clip: Clip, hours: int, first_dts: int) -> Recorded:
    folder.mkdir(parents=True)
    file = PlannedFile(1, "t1", first_dts, START, START, track_infos(clip.formats))
    cutter = ChunkCutter(folder)
    closed: list[ClosedChunk] = []
    sent: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    for unit in units(clip, hours, first_dts):
        utc_us = round(START.timestamp() * 1e6) + (unit.dts - first_dts) * 100 // 9
        stamped = replace(unit, utc_us=utc_us)
        file.take(stamped)
        closed += cutter.write(file, [stamped])
        sent[unit.track].append((unit.pts - first_dts, unit.dts - first_dts))
    closed += cutter.close()
    entry = file.entry().model_copy(update={"chunks": [chunk.entry for chunk in closed]})
    journal = Journal(attempt="a", recording_uid="long", started_at=START, files=[entry])
    return Recorded(merge([journal])[0], sent)


def probe(mp4: Path, stream: str, *options: str) -> list[tuple[int, int]]:
    """PTS and DTS of a stream's packets in ticks of 90 kHz."""
    entries = ("-show_entries", "packet=pts_time,dts_time", "-of", "csv=p=0")
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", stream, *options, *entries, str(mp4)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    rows = (line.strip(",").split(",") for line in done.stdout.split())
    return [(round(float(pts) * TICKS), round(float(dts) * TICKS)) for pts, dts in rows]


@pytest.mark.parametrize(
    ("hours", "first_dts", "way"),
    [
        (4, WRAP - 3600 * TICKS, "fragments"),
        (28, 0, "scratch"),
        (28, WRAP - 3600 * TICKS, "scratch"),
    ],
    ids=["4 h", "28 h", "28 h that wrap twice"],
)
async def test_a_recording_of_many_hours_has_every_unit_at_its_time(
    tmp_path: Path,
    clip: Clip,
    monkeypatch: pytest.MonkeyPatch,
    hours: int,
    first_dts: int,
    way: str,
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_TICKS", 60 * TICKS)
    monkeypatch.setattr(chunks, "CHUNK_PREFERRED_TICKS", 40 * TICKS)
    monkeypatch.setattr(media_time, "HOLE_TICKS", 10 * TICKS)
    storage = open_volume(tmp_path)
    recorded = record(tmp_path / PREFIX / "a", clip, hours, first_dts)
    file, seconds = recorded.file, hours * 3600 + CLIP_SECONDS
    if way == "fragments":

        async def has_room(*_: object) -> bool:
            return False

        monkeypatch.setattr(finalize_module, "_has_room", has_room)
    job = FinalizeJob("long", PREFIX, "long", "pvc://c/", file)
    result = await finalize(storage, job, tmp_path / "scratch")
    assert result.duration_seconds == pytest.approx(seconds, abs=2)

    mp4 = tmp_path / job.key
    offsets = []
    for track, stream in enumerate(("v:0", "a:0")):
        found, sent = probe(mp4, stream), recorded.sent[track]
        assert len(found) == len(sent)
        assert all(after[1] > before[1] for before, after in pairwise(found))
        moved = [got[0] - want[0] for got, want in zip(found, sent, strict=True)]
        # FFmpeg guesses the step over a wrap: less than a millisecond beside it.
        assert max(moved) - min(moved) < 2 * TICKS // 1000
        offsets.append(moved[-1])
    assert abs(offsets[0] - offsets[1]) < 2 * TICKS // 1000, "picture and sound are together"

    end = probe(mp4, "v:0", "-read_intervals", f"{seconds - 5}%+5")
    assert (seconds - 8) * TICKS < end[0][0] < (seconds - 4) * TICKS, "a player can go there"
    if way == "scratch":
        head = mp4.read_bytes()[: 1 << 10]
        assert head.index(b"moov") < 100
        size = int.from_bytes(head[head.index(b"moov") - 4 : head.index(b"moov")], "big")
        assert size < 40 * sum(map(len, recorded.sent.values())) + (64 << 10)
    playlist = merged_playlist(file, lambda attempt, name: f"{attempt}/{name}", closed=True)
    assert playlist.count("#EXTINF:") == len(file.chunks)
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert "#EXT-X-DISCONTINUITY" not in playlist
