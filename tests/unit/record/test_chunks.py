"""Chunk files: where they are cut, and what a crash leaves of them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sluice_media.contract import TrackInfo
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.record.chunks import ChunkCutter, ClosedChunk, index_path
from sluice_media.record.plan import PlannedFile
from sluice_media.record.recover import adopt
from sluice_media.store.trim import read_units, track_pids

START = datetime(2026, 5, 1, tzinfo=UTC)
AUDIO = TrackInfo(track=1, kind="audio", codec="aac", config="EZA=", sample_rate=48_000, channels=2)
STEP = 1_920


def planned(index: int = 1) -> PlannedFile:
    return PlannedFile(index, "t1", 0, START, START, [AUDIO, AUDIO.model_copy(update={"track": 2})])


def frame(number: int, *, key: bool = False, payload: bytes = b"\x21" * 150) -> AccessUnit:
    at = number * STEP
    flags = UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE
    return AccessUnit(1, at, at, flags, round(START.timestamp() * 1e6), payload)


def write(cutter: ChunkCutter, file: PlannedFile, first: int, last: int) -> list[ClosedChunk]:
    closed = []
    for number in range(first, last):
        file.take(frame(number))
        closed += cutter.write(file, [frame(number)])
    return closed


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    (tmp_path / "old").mkdir()
    return tmp_path


def test_a_chunk_ends_after_six_seconds_on_any_unit(spool: Path) -> None:
    closed = write(ChunkCutter(spool / "old"), planned(), 0, 1000)
    assert [c.entry.tracks[1].units for c in closed] == [282, 282, 282]
    assert [c.entry.name for c in closed] == [f"001-{n:06d}.ts" for n in (1, 2, 3)]
    for chunk in closed:
        data = chunk.path.read_bytes()
        assert chunk.entry.size_bytes == len(data)
        assert chunk.entry.sha256 == hashlib.sha256(data).hexdigest()
        assert data[:3] == b"\x47\x40\x00", "a chunk begins with the tables"
    assert [c.entry.first_dts for c in closed] == [0, 282 * STEP, 564 * STEP]
    assert closed[0].entry.end_dts == closed[1].entry.first_dts


def test_a_random_access_in_the_last_third_is_preferred(spool: Path) -> None:
    cutter, file = ChunkCutter(spool / "old"), planned()
    write(cutter, file, 0, 200)
    (closed,) = cutter.write(file, [frame(200, key=True)])
    assert (closed.entry.tracks[1].units, closed.entry.independent) == (200, False)
    (closed,) = cutter.close()
    assert closed.entry.independent


def test_a_chunk_whose_source_fell_silent_is_closed_by_the_clock(spool: Path) -> None:
    now = 0.0
    cutter = ChunkCutter(spool / "old", clock=lambda: now)
    write(cutter, planned(), 0, 10)
    now = 5.0
    assert cutter.tend() == []
    now = 8.0
    assert len(cutter.tend()) == 1


def test_a_track_that_joins_in_the_middle_of_a_chunk_breaks_no_counter(spool: Path) -> None:
    cutter, file = ChunkCutter(spool / "old"), planned()
    both = file.tracks
    file.tracks = both[1:]
    cutter.write(file, [replace(frame(number), track=2) for number in range(5)])
    file.tracks = both
    cutter.changed(file, tracks=True)
    cutter.write(file, [frame(5), replace(frame(6), track=2)])
    (closed,) = cutter.close()
    units = read_units(closed.path.read_bytes(), track_pids(both))
    assert units == {1: [5 * STEP], 2: [*range(0, 5 * STEP, STEP), 6 * STEP]}


def test_a_broken_unit_is_left_out_and_counted(spool: Path) -> None:
    cutter, file = ChunkCutter(spool / "old"), planned()
    write(cutter, file, 0, 3)
    cutter.write(file, [frame(3, payload=b"x" * 9000)])
    write(cutter, file, 4, 6)
    (closed,) = cutter.close()
    assert (closed.entry.tracks[1].units, cutter.unusable_units) == (5, 1)


def test_what_was_flushed_before_a_crash_is_adopted(spool: Path) -> None:
    cutter = ChunkCutter(spool / "old")
    write(cutter, planned(), 0, 100)
    cutter.flush()
    write(cutter, planned(), 100, 150)  # never flushed: the process dies here
    (adopted,) = adopt(spool, "new", stored=set())
    assert adopted.entry.tracks[1].units == 100
    assert adopted.path == spool / "new/001-000001.ts"
    assert adopted.path.stat().st_size == adopted.entry.size_bytes
    assert not (spool / "old").exists()


def test_a_batch_that_was_half_written_is_cut_off(spool: Path) -> None:
    cutter = ChunkCutter(spool / "old")
    write(cutter, planned(), 0, 50)
    cutter.flush()
    with (spool / "old/001-000001.ts").open("ab") as file:
        file.write(b"\x47half a packet")
    with index_path(spool / "old/001-000001.ts").open("ab") as file:
        file.write(b'{"chunk":{"na')
    (adopted,) = adopt(spool, "new", stored=set())
    data = adopted.path.read_bytes()
    assert len(data) % 188 == 0
    assert hashlib.sha256(data).hexdigest() == adopted.entry.sha256


def test_a_chunk_that_the_store_has_already_is_not_adopted(spool: Path) -> None:
    cutter = ChunkCutter(spool / "old")
    write(cutter, planned(), 0, 300)
    cutter.close()
    adopted = adopt(spool, "new", stored={("old", "001-000001.ts")})
    assert [c.entry.first_dts for c in adopted] == [282 * STEP]


def test_an_adopter_that_dies_is_adopted_itself(spool: Path) -> None:
    cutter = ChunkCutter(spool / "old")
    write(cutter, planned(), 0, 600)
    cutter.close()
    first = adopt(spool, "second", stored=set())
    again = adopt(spool, "third", stored=set())
    assert [c.entry.first_dts for c in again] == [c.entry.first_dts for c in first]
    assert all(c.path.parent.name == "third" and c.path.exists() for c in again)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_chunks_in_two_folders_are_adopted_in_the_order_of_their_units(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    """An adopter that died halfway leaves two folders; a coarse clock gives both one time."""
    earlier, later = (tmp_path / name for name in names)
    earlier.mkdir()
    cutter = ChunkCutter(earlier)
    write(cutter, planned(), 0, 282 * 8)
    cutter.close()
    later.mkdir()
    for number in range(4, 9):
        for path in (
            earlier / f"001-{number:06d}.ts",
            index_path(earlier / f"001-{number:06d}.ts"),
        ):
            path.rename(later / path.name.replace(f"{number:06d}", f"{number - 3:06d}"))
    for folder in (earlier, later):
        os.utime(folder, (1_700_000_000, 1_700_000_000))
    adopted = adopt(tmp_path, "new", stored=set())
    assert [c.entry.first_dts for c in adopted] == [n * 282 * STEP for n in range(8)]
    assert [c.entry.name for c in adopted] == [f"001-{n:06d}.ts" for n in range(1, 9)]
    assert not earlier.exists()
    assert not later.exists()


def test_gaps_noted_while_a_chunk_was_open_survive_a_crash(spool: Path) -> None:
    from sluice_media.contract import TimelineGap

    cutter, file = ChunkCutter(spool / "old"), planned()
    write(cutter, file, 0, 10)
    file.note_gap(TimelineGap(dts=10 * STEP, wall_seconds=3))
    cutter.changed(file, tracks=False)
    cutter.flush()
    (adopted,) = adopt(spool, "new", stored=set())
    assert [g.wall_seconds for g in adopted.file.gaps] == [3]


def test_bytes_that_a_power_failure_took_are_not_trusted(spool: Path) -> None:
    cutter, file = ChunkCutter(spool / "old"), planned()
    for first in (0, 50, 100):
        write(cutter, file, first, first + 50)
        cutter.flush()
    path = spool / "old/001-000001.ts"
    lines = index_path(path).read_text().splitlines()
    sizes = [json.loads(line)["chunk"]["sizeBytes"] for line in lines[1:]]
    data = bytearray(path.read_bytes())
    data[sizes[1] + 10 : sizes[1] + 200] = bytes(190)
    path.write_bytes(data)
    (adopted,) = adopt(spool, "new", stored=set())
    assert adopted.entry.tracks[1].units == 100
    assert hashlib.sha256(adopted.path.read_bytes()).hexdigest() == adopted.entry.sha256


def test_a_disk_that_fails_in_the_middle_of_a_batch_leaves_what_was_whole(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutter, file = ChunkCutter(spool / "old"), planned()
    write(cutter, file, 0, 50)
    cutter.flush()
    write(cutter, file, 50, 100)
    monkeypatch.setattr(cutter._open, "_index", FullDisk())
    with pytest.raises(OSError, match="No space left"):
        cutter.flush()
    cutter.abandon()
    (adopted,) = adopt(spool, "new", stored=set())
    assert adopted.entry.tracks[1].units == 50


def test_a_hole_begins_a_chunk_however_short_the_one_before_it_is(spool: Path) -> None:
    cutter, file = ChunkCutter(spool / "old"), planned()
    write(cutter, file, 0, 10)
    assert len(write(cutter, file, 200, 210)) == 1
    (closed,) = cutter.close()
    assert (closed.entry.first_dts, closed.entry.runs) == (200 * STEP, [])
    assert file.duration_seconds == pytest.approx(20 * STEP / 90_000)


def test_a_unit_from_before_a_hole_leaves_the_hole_in_its_chunk_and_a_crash_keeps_it(
    spool: Path,
) -> None:
    cutter, file = ChunkCutter(spool / "old"), planned()
    write(cutter, file, 0, 10)
    late = replace(frame(10), track=2)
    for unit in (frame(200), late, frame(201)):
        file.take(unit)
        cutter.write(file, [unit])
    cutter.flush()
    _, adopted = adopt(spool, "new", stored=set())
    assert adopted.entry.runs == [(10 * STEP, 10 * STEP), (200 * STEP, 202 * STEP)]
    assert file.duration_seconds == pytest.approx(12 * STEP / 90_000)


def test_time_that_jumps_begins_a_chunk_but_no_tiny_ones(spool: Path) -> None:
    cutter, file = ChunkCutter(spool / "old"), planned()
    write(cutter, file, 0, 20)
    assert cutter.joint() == []
    write(cutter, file, 20, 60)
    assert len(cutter.joint()) == 1
    assert cutter.joint() == []


class FullDisk:
    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def close(self) -> None:
        pass
