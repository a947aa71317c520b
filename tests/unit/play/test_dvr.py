"""The bytes of a window: in memory, on disk, and when the disk fails."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable
from pathlib import Path

import pytest

from sluice_media.formats.units import TICKS_PER_SECOND, Codec, TrackFormat, TrackKind
from sluice_media.play.disk import SegmentDisk
from sluice_media.play.dvr import MEMORY_SECONDS, Dvr, SegmentGoneError
from sluice_media.play.segment import Part, Segment, TrackSegment
from sluice_media.play.segment_file import SegmentFileError, decode
from sluice_media.play.table import SegmentTable

FORMATS = (
    TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"avcc", width=320, height=180),
    TrackFormat(1, TrackKind.AUDIO, Codec.AAC, b"\x11\x90", sample_rate=48_000, channels=2),
)
SESSION = "0123456789abcdef"


def segment(number: int) -> Segment:
    """A closed segment of 2 s with two parts of video and one of audio."""
    start = number * 2 * TICKS_PER_SECOND
    tracks = {0: TrackSegment(is_closed=True), 1: TrackSegment(is_closed=True)}
    for track, count in ((0, 2), (1, 1)):
        for index in range(count):
            data = f"{number}/{track}/{index};".encode() * 10
            length = 2 * TICKS_PER_SECOND // count
            tracks[track].append(Part(start + index * length, length, len(data), True, data))
    return Segment(
        number=number,
        run="run",
        dts=start,
        pts=start,
        format_number=0,
        shift=0,
        target_seconds=4,
        anchor_dts=0,
        anchor_us=1_800_000_000_000_000,
        reference=0,
        tracks=tracks,
    )


def media_bytes(segments: Iterable[Segment]) -> int:
    return sum(track.size for each in segments for track in each.tracks.values())


def filled(
    disk: SegmentDisk, count: int, window_seconds: int = 600, limit_bytes: int | None = None
) -> tuple[SegmentTable, Dvr]:
    table = SegmentTable(SESSION, 0, window_seconds)
    dvr = Dvr(table, disk, limit_bytes)
    for number in range(count):
        each = segment(number)
        table.insert(each, FORMATS)
        dvr.add(each)
    return table, dvr


async def saved(dvr: Dvr, seconds: float = 0.3) -> None:
    """Let the DVR write what it has."""
    writing = asyncio.create_task(dvr.run())
    await asyncio.sleep(seconds)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)


async def test_old_segments_are_read_from_disk_as_they_were(tmp_path: Path) -> None:
    table, dvr = filled(SegmentDisk(tmp_path), 40)
    await saved(dvr)
    old, new = table.segments[0], table.segments[-1]
    assert all(part.data is None for track in old.tracks.values() for part in track.parts)
    assert all(part.data for track in new.tracks.values() for part in track.parts)
    assert await dvr.part(old, 0, 1) == b"0/0/1;" * 10
    assert await dvr.part(old, 1, 0) == b"0/1/0;" * 10
    assert await dvr.track(old, 0) == b"0/0/0;" * 10 + b"0/0/1;" * 10
    assert await dvr.track(new, 1) == b"39/1/0;" * 10


async def test_a_restarted_container_finds_its_segments_again(tmp_path: Path) -> None:
    _, dvr = filled(SegmentDisk(tmp_path), 20)
    await saved(dvr)
    disk = SegmentDisk(tmp_path)
    (tmp_path / SESSION / "3.segment").write_bytes(b"cut short")
    with (tmp_path / SESSION / "4.segment").open("r+b") as file:
        file.truncate(400)
    (tmp_path / SESSION / "99.writing").write_bytes(b"not finished")
    found = disk.load()
    assert [each.segment.number for each in found] == [n for n in range(20) if n not in (3, 4)]
    table = SegmentTable(SESSION, 0, 600)
    again = Dvr(table, disk)
    for each in found:
        again.restore(each)
        table.insert(each.segment, each.formats)
    assert await again.part(table.segments[5], 0, 0) == b"7/0/0;" * 10
    assert table.formats[0] == FORMATS
    assert sorted(path.name for path in (tmp_path / SESSION).iterdir()) == sorted(
        f"{n}.segment" for n in range(20) if n not in (3, 4)
    )


async def test_another_session_leaves_nothing_on_disk(tmp_path: Path) -> None:
    _, dvr = filled(SegmentDisk(tmp_path), 3)
    await saved(dvr)
    SegmentDisk(tmp_path).keep_only("fedcba9876543210")
    assert list(tmp_path.iterdir()) == []


async def test_a_segment_for_another_pod_is_whole_from_memory_and_from_disk(tmp_path: Path) -> None:
    table, dvr = filled(SegmentDisk(tmp_path), 40)
    from_memory = await dvr.file(table.segments[0])
    await saved(dvr)
    assert await dvr.file(table.segments[0]) == from_memory
    stored = decode(from_memory)
    assert (stored.session, stored.formats) == (SESSION, FORMATS)
    assert stored.segment.tracks[0].parts[1].data == b"0/0/1;" * 10
    for damaged in (from_memory[:-1], from_memory + b"x", b"", b"GET / HTTP/1.1\n", b"\n"):
        with pytest.raises(SegmentFileError):
            decode(damaged)


async def test_a_dropped_segment_is_gone_from_disk(tmp_path: Path) -> None:
    table, dvr = filled(SegmentDisk(tmp_path), 40)
    await saved(dvr)
    old = table.segments[0]
    dvr.drop(table.drop_until(5))
    with pytest.raises(SegmentGoneError):
        await dvr.part(old, 0, 0)
    assert not (tmp_path / SESSION / "4.segment").exists()
    assert (tmp_path / SESSION / "5.segment").exists()


class FullDisk(SegmentDisk):
    """A disk with room for ten segments."""

    def write(self, session: str, number: int, data: Iterable[bytes]) -> None:
        folder = self._path(session, number).parent
        if folder.is_dir() and len(list(folder.iterdir())) >= 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(session, number, data)


async def test_a_full_disk_makes_the_window_shorter_and_nothing_else(tmp_path: Path) -> None:
    table, dvr = filled(FullDisk(tmp_path), 40)
    await saved(dvr, 1)
    numbers = [each.number for each in table.segments]
    assert numbers == list(range(numbers[0], 40))
    assert 5 <= len(numbers) <= 10 + MEMORY_SECONDS / 2
    for each in table.segments:
        assert await dvr.track(each, 0)


async def test_a_limit_drops_the_oldest_segments_first(tmp_path: Path) -> None:
    limit = media_bytes(segment(number) for number in range(20, 40))
    table, dvr = filled(SegmentDisk(tmp_path), 40, limit_bytes=limit)
    assert [each.number for each in table.segments] == list(range(20, 40))
    await saved(dvr)
    files = sorted(int(path.stem) for path in (tmp_path / SESSION).iterdir())
    assert files == list(range(20, 40))
    assert dvr.stored_bytes == media_bytes(table.segments) == limit
    next_one = segment(40)
    table.insert(next_one, FORMATS)
    dvr.add(next_one)
    await saved(dvr)
    assert table.segments[0].number == 21
    assert not (tmp_path / SESSION / "20.segment").exists()
    for each in table.segments:
        assert await dvr.track(each, 0)


async def test_a_restarted_container_counts_its_segments_for_the_limit(tmp_path: Path) -> None:
    disk = SegmentDisk(tmp_path)
    _, before = filled(disk, 30)
    await saved(before)
    table = SegmentTable(SESSION, 0, 600)
    dvr = Dvr(table, disk, media_bytes(segment(number) for number in range(11, 31)))
    for stored in disk.load():
        dvr.restore(stored)
        table.insert(stored.segment, stored.formats)
    assert dvr.stored_bytes == media_bytes(table.segments)
    newest = segment(30)
    table.insert(newest, FORMATS)
    dvr.add(newest)
    assert table.segments[0].number == 11
    assert dvr.stored_bytes == media_bytes(table.segments[:-1])


async def test_a_segment_older_than_a_window_at_its_limit_changes_nothing(tmp_path: Path) -> None:
    """Another pod has a longer window: its disk is larger."""
    limit = media_bytes(segment(number) for number in range(20, 40))
    table, dvr = filled(SegmentDisk(tmp_path), 40, limit_bytes=limit)
    await saved(dvr)
    older = segment(19)
    table.insert(older, FORMATS)
    dvr.add(older)
    await saved(dvr)
    assert [each.number for each in table.segments] == list(range(20, 40))
    assert len(list((tmp_path / SESSION).iterdir())) == 20


async def test_a_limit_below_the_live_window_keeps_that_in_memory(tmp_path: Path) -> None:
    limit = media_bytes([segment(38), segment(39)])
    table, dvr = filled(SegmentDisk(tmp_path), 40, limit_bytes=limit)
    await saved(dvr)
    assert len(table.segments) == MEMORY_SECONDS / 2
    assert dvr.stored_bytes <= limit
    assert len(list((tmp_path / SESSION).iterdir())) == 2
    for each in table.segments:
        assert await dvr.track(each, 0)


class BrokenDisk(SegmentDisk):
    def write(self, session: str, number: int, data: Iterable[bytes]) -> None:
        raise OSError(errno.EIO, "Input/output error")


async def test_a_broken_disk_keeps_segments_in_memory_within_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, dvr = filled(BrokenDisk(tmp_path), 40)
    await saved(dvr)
    assert len(table.segments) == 40
    monkeypatch.setattr("sluice_media.play.dvr.UNSAVED_BYTES", 1_000)
    for number in range(40, 80):
        each = segment(number)
        table.insert(each, FORMATS)
        dvr.add(each)
        dvr.release()
    assert table.segments[0].number > 40
    assert await dvr.track(table.segments[0], 0)
