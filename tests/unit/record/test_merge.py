"""Journals of several attempts give one file with every unit exactly once."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import TrackInfo
from sluice_media.record.plan import restore
from sluice_media.recording.journal import ChunkEntry, FileEntry, GapEntry, Journal, TrackSpan
from sluice_media.recording.merge import MergedFile, merge

START = datetime(2026, 5, 1, tzinfo=UTC)
VIDEO = TrackInfo(track=0, kind="video", codec="h264", config="")

Unit = tuple[int, int]
"""track, dts"""


@dataclass
class Attempt:
    """The durable chunks of one attempt, each with its units in the hub's order."""

    name: str
    chunks: list[list[Unit]] = field(default_factory=list)

    def journal(self, number: int) -> Journal:
        entries = [_entry(f"001-{i:06d}.ts", units) for i, units in enumerate(self.chunks, 1)]
        file = FileEntry(
            index=1,
            timeline="t1",
            first_dts=0,
            started_at=START,
            session_started_at=START,
            tracks=[VIDEO],
            chunks=entries,
        )
        return Journal(
            attempt=self.name,
            recording_uid="r",
            started_at=START + timedelta(seconds=number),
            files=[file],
        )


def _entry(name: str, units: list[Unit]) -> ChunkEntry:
    spans: dict[int, TrackSpan] = {}
    for track in {track for track, _ in units}:
        all_dts = [dts for t, dts in units if t == track]
        spans[track] = TrackSpan(
            units=len(all_dts), first_dts=all_dts[0], last_dts=all_dts[-1], end_dts=all_dts[-1] + 1
        )
    return ChunkEntry(
        name=name,
        first_dts=min(dts for _, dts in units),
        end_dts=max(dts for _, dts in units) + 1,
        size_bytes=len(units) * 188,
        sha256="",
        independent=False,
        last_utc=START,
        tracks=spans,
    )


def seconds_of(first: int, end: int) -> list[Unit]:
    """Two units a second."""
    return [(0, at * 45_000) for at in range(first * 2, end * 2)]


def test_holes_between_chunks_and_in_them_are_no_media_and_gaps_stand_where_media_does() -> None:
    chunks = [seconds_of(0, 6), seconds_of(6, 10), seconds_of(15, 20), seconds_of(30, 33)]
    journal = Attempt("a", chunks).journal(1)
    (entry,) = journal.files
    runs = [(30 * 90_000, 31 * 90_000), (40 * 90_000, 42 * 90_000)]
    torn = entry.chunks[3].model_copy(update={"end_dts": 42 * 90_000, "runs": runs})
    gaps = [GapEntry(dts=at * 90_000, at_seconds=at, wall_seconds=5) for at in (15, 30)]
    entry = entry.model_copy(update={"chunks": [*entry.chunks[:3], torn], "gaps": gaps})
    (file,) = merge([journal.model_copy(update={"files": [entry]})])
    # The last unit before a hole has no duration yet, so 0.5 s less than there were.
    assert file.duration_seconds == pytest.approx(9.5 + 4.5 + 3, abs=0.01)
    assert [gap.at_seconds for gap in file.gaps] == pytest.approx([9.5, 14], abs=0.01)
    assert [chunk.is_whole for chunk in file.chunks] == [True, True, False, False]
    (restored,) = restore([file], None).files
    assert restored.duration_seconds == file.duration_seconds


def test_a_chunk_that_is_taken_out_is_a_hole() -> None:
    (file,) = merge([Attempt("a", [seconds_of(n * 6, n * 6 + 6) for n in range(4)]).journal(1)])
    whole_seconds = file.duration_seconds
    assert all(chunk.is_whole for chunk in file.chunks)
    del file.chunks[1]
    file.place()
    assert whole_seconds - file.duration_seconds == pytest.approx(6, abs=0.6)
    assert [chunk.is_whole for chunk in file.chunks] == [True, False, False]


def test_an_attempt_that_comes_back_with_what_was_missing_leaves_no_hole() -> None:
    lost = Attempt("a", [seconds_of(n * 6, n * 6 + 6) for n in range(4)])
    went_on = Attempt("b", [seconds_of(24, 30)])
    first = Attempt("a", lost.chunks[:1])
    (file,) = merge([first.journal(1), went_on.journal(2)])
    assert len(file.media.holes) == 1
    (file,) = merge([lost.journal(1), went_on.journal(2)])
    assert (file.media.holes, file.chunks[-1].is_whole) == ([], True)


def units_of(file: MergedFile, attempts: list[Attempt]) -> list[Unit]:
    """The units that the finaliser's bytes hold."""
    by_name = {a.name: a for a in attempts}
    found: list[Unit] = []
    for chunk in file.chunks:
        number = int(chunk.entry.name[4:10])
        skip = chunk.skip_through or {}
        units = by_name[chunk.attempt].chunks[number - 1]
        found += [(t, dts) for t, dts in units if dts > skip.get(t, dts - 1)]
    return found


@st.composite
def broadcasts(draw: st.DrawFn) -> list[Unit]:
    """Two tracks, loosely interleaved as they arrive: audio up to some frames early or late."""
    pictures = draw(st.integers(5, 40))
    skew = draw(st.integers(-3, 3))
    units = [(n * 40, 0, n * 40) for n in range(pictures)]
    units += [(n * 23 + skew * 40, 1, n * 23 + 1) for n in range(pictures * 40 // 23)]
    first = next(i for i, u in enumerate(sorted(units)) if u[1] == 0)
    return [(track, dts) for _, track, dts in sorted(units)[first:]]


def _cut(units: list[Unit], lengths: list[int]) -> list[list[Unit]]:
    """The units as chunks of these lengths, the last one as long as it takes."""
    chunks = []
    for length in lengths:
        chunks.append(units[:length])
        units = units[length:]
    return [chunk for chunk in [*chunks, units] if chunk]


LENGTHS = st.lists(st.integers(1, 12), max_size=5)


@given(broadcasts(), st.lists(st.tuples(st.integers(1, 40), LENGTHS), max_size=6), LENGTHS)
def test_attempts_that_follow_each_other_hold_every_unit_once(
    sent: list[Unit], deaths: list[tuple[int, list[int]]], last: list[int]
) -> None:
    """Each attempt dies at any unit; what it had not made durable by then, the next one takes
    from the hub again, which replays from the slowest track on."""
    attempts: list[Attempt] = []
    for size, lengths in [*deaths, (len(sent), last)]:
        merged = merge(a.journal(n) for n, a in enumerate(attempts))
        taken = merged[0].taken if merged else {}
        left = [(t, dts) for t, dts in sent if dts > taken.get(t, dts - 1)]
        if left:
            attempts.append(Attempt(f"a{len(attempts)}", _cut(left[:size], lengths)))
    (file,) = merge(a.journal(n) for n, a in enumerate(attempts))
    assert sorted(units_of(file, attempts)) == sorted(sent)
    for track in (0, 1):
        all_dts = [dts for t, dts in units_of(file, attempts) if t == track]
        assert all_dts == sorted(all_dts)
    assert all(chunk.skip_through is None for chunk in file.chunks)
    assert sum(file.units.values()) == len(sent)


RUNS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 40), LENGTHS), min_size=1, max_size=4)


@given(broadcasts(), RUNS)
def test_attempts_that_overlap_hold_every_unit_once(
    sent: list[Unit], runs: list[tuple[float, int, list[int]]]
) -> None:
    """A lost node's recorder goes on writing while its successor, which saw only a part of that,
    writes as well; one of them reaches the end."""
    attempts: list[Attempt] = []
    covered = 0
    for found_durable, size, lengths in runs:
        begin = round(found_durable * covered)
        end = len(sent) if len(attempts) == len(runs) - 1 else begin + size
        attempts.append(Attempt(f"a{len(attempts)}", _cut(sent[begin:end], lengths)))
        covered = max(covered, min(end, len(sent)))
    (file,) = merge(a.journal(n) for n, a in enumerate(attempts))
    assert sorted(units_of(file, attempts)) == sorted(sent)
    for track in (0, 1):
        all_dts = [dts for t, dts in units_of(file, attempts) if t == track]
        assert all_dts == sorted(all_dts)


@given(broadcasts(), LENGTHS, st.integers(0, 6))
def test_a_journal_in_a_wrong_order_holds_every_unit_once(
    sent: list[Unit], lengths: list[int], turn: int
) -> None:
    """A recorder that adopted chunks 4 to 8 before 1 to 3 wrote them down in this order."""
    attempt = Attempt("a", _cut(sent, lengths))
    journal = attempt.journal(0)
    file = journal.files[0]
    turned = file.model_copy(update={"chunks": [*file.chunks[turn:], *file.chunks[:turn]]})
    (merged,) = merge([journal.model_copy(update={"files": [turned]})])
    found = units_of(merged, [attempt])
    assert sorted(found) == sorted(sent)
    for track in (0, 1):
        all_dts = [dts for t, dts in found if t == track]
        assert all_dts == sorted(all_dts)
    assert sum(merged.units.values()) == len(sent)


def _journal(attempt: str, second: int, *files: FileEntry) -> Journal:
    return Journal(
        attempt=attempt,
        recording_uid="r",
        started_at=START + timedelta(seconds=second),
        files=list(files),
    )


def _file(index: int, timeline: str, *, minute: int, closed: bool = False) -> FileEntry:
    return FileEntry(
        index=index,
        timeline=timeline,
        first_dts=0,
        started_at=START + timedelta(minutes=minute),
        session_started_at=START + timedelta(minutes=minute),
        tracks=[VIDEO],
        chunks=[_entry("001-000001.ts", [(0, 0), (0, 40)])],
        closed=closed,
        end_reason="SessionEnded" if closed else None,
    )


def test_files_are_told_apart_by_their_timeline_and_keep_their_indexes() -> None:
    merged = merge([_journal("a", 0, _file(1, "t1", minute=0, closed=True)),
                    _journal("b", 9, _file(2, "t2", minute=5))])  # fmt: skip
    assert [(f.index, f.timeline, f.closed) for f in merged] == [(1, "t1", True), (2, "t2", False)]


def test_two_attempts_that_gave_two_files_the_same_index_do_not_overwrite_each_other() -> None:
    first, second = _file(1, "t1", minute=0), _file(1, "t2", minute=5)
    merged = merge([_journal("a", 0, first), _journal("b", 1, second)])
    assert [f.index for f in merged] == [1, 2]


def test_a_recorder_that_comes_back_from_a_lost_node_does_not_close_its_successors_file() -> None:
    merged = merge([_journal("old", 0, _file(1, "t1", minute=0, closed=True)),
                    _journal("new", 9, _file(1, "t1", minute=0))])  # fmt: skip
    assert [f.closed for f in merged] == [False]


def test_a_file_left_open_before_another_one_is_closed_by_the_next_attempt() -> None:
    merged = merge([_journal("a", 0, _file(1, "t1", minute=0), _file(2, "t2", minute=5))])
    restored = restore(merged, None)
    assert [f.end_reason for f in restored.files] == ["SessionEnded", None]
    assert [f.index for f in restored.unclosed] == [1]
    assert restored.open_file is restored.files[1]
