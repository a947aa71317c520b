"""A journal in segments says what one that is rewritten as a whole would say, and costs little."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import TimelineAnchor
from sluice_media.recording import keys
from sluice_media.recording.journal import GapEntry, Journal, JournalDamagedError, sealed, unsealed
from sluice_media.recording.journals import find_journals
from sluice_media.recording.segments import SEGMENT_ENTRIES, SegmentedJournal, join
from sluice_media.storage.object_store import ObjectStore, open_volume
from tests.unit.record.chunk_entries import START, entry, file_entry, seconds

PREFIX = "recordings/r"


def written(journal: SegmentedJournal, segments: dict[int, Journal]) -> None:
    """Store the journal's present segment, as the uploader does."""
    segments[journal.number] = journal.segment(START)
    journal.stored()


def fresh() -> SegmentedJournal:
    return SegmentedJournal(attempt="a1", recording_uid="r", started_at=START)


@given(st.lists(st.sampled_from(["chunk", "gap", "anchor", "stop", "again"]), max_size=400))
def test_segments_put_together_are_the_journal(events: list[str]) -> None:
    journal, segments = fresh(), dict[int, Journal]()
    file, chunks = file_entry(), []
    for number, event in enumerate(events, 1):
        if event == "gap":
            gap = GapEntry(dts=seconds(number), at_seconds=number, wall_seconds=1)
            file = file.model_copy(update={"gaps": [*file.gaps, gap]})
            journal.note_file(file)
        elif event == "anchor":
            anchor = TimelineAnchor(dts=seconds(number), utc=START + timedelta(hours=number))
            file = file.model_copy(update={"anchors": [*file.anchors, anchor]})
            journal.note_file(file)
        elif event == "stop":
            journal.note_stop(START)
        elif event == "chunk":
            chunks.append(entry(number, number, number + 1))
            journal.note_chunk(file, chunks[-1])
        elif chunks:  # a store that failed halfway is told the same again
            journal.note_chunk(file, chunks[-1])
        written(journal, segments)
    whole = join(segments[number] for number in sorted(segments))
    if whole is None or not whole.files:
        assert not chunks
        return
    (found,) = whole.files
    assert found.chunks == chunks
    assert found.anchors == file.anchors
    assert found.gaps == [g for g in file.gaps if g in found.gaps]
    assert (whole.stop_requested_at is not None) == ("stop" in events)


def test_four_hours_rewrite_little() -> None:
    journal, segments, put_bytes = fresh(), dict[int, Journal](), []
    for number in range(2_400):
        journal.note_chunk(file_entry(), entry(number, number * 6, number * 6 + 6))
        put_bytes.append(len(journal.segment(START).to_json()))
        written(journal, segments)
    assert max(put_bytes) < 60_000
    assert len(segments) == 2_400 // (SEGMENT_ENTRIES - 2) + 1
    whole = join(segments.values())
    assert whole is not None
    assert len(whole.files[0].chunks) == 2_400


def test_gaps_are_in_one_segment_only() -> None:
    journal, segments = fresh(), dict[int, Journal]()
    file = file_entry()
    for number in range(1_000):
        gap = GapEntry(dts=seconds(number), at_seconds=number, wall_seconds=1)
        file = file.model_copy(update={"gaps": [*file.gaps, gap]})
        journal.note_file(file)
        written(journal, segments)
    assert max(len(s.to_json()) for s in segments.values()) < 20_000
    whole = join(segments.values())
    assert whole is not None
    assert whole.files[0].gaps == file.gaps


@given(st.integers(0, 4_000), st.integers(0, 7))
def test_a_flipped_bit_is_found_or_changes_nothing(place: int, bit: int) -> None:
    journal = fresh()
    for number in range(3):
        journal.note_chunk(file_entry(), entry(number, number, number + 1))
    segment = journal.segment(START)
    data = bytearray(sealed(segment))
    data[place % len(data)] ^= 1 << bit
    try:
        assert unsealed(bytes(data)) == segment
    except JournalDamagedError:
        assert unsealed(sealed(segment)) == segment


async def _put(storage: ObjectStore, journal: Journal, number: int) -> None:
    key = keys.journal_segment_key(PREFIX, journal.attempt, number)
    await storage.put(key, journal.to_json().encode())


async def test_a_segment_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    storage, journal = open_volume(tmp_path), fresh()
    segments: dict[int, Journal] = {}
    for number in range(250):
        journal.note_chunk(file_entry(), entry(number, number, number + 1))
        written(journal, segments)
    for number, segment in segments.items():
        await _put(storage, segment, number)
    await storage.put(keys.journal_segment_key(PREFIX, "a1", 2), b"{half")
    (found,) = (await find_journals(storage, PREFIX)).journals
    assert len(found.files[0].chunks) == 250 - len(segments[2].files[0].chunks)


async def test_the_journal_of_a_former_version_is_read(tmp_path: Path) -> None:
    storage = open_volume(tmp_path)
    old = Journal(
        attempt="old",
        recording_uid="r",
        started_at=START,
        files=[file_entry(chunks=[entry(1, 0, 6)])],
    )
    await storage.put(keys.journal_key(PREFIX, "old"), old.to_json().encode())
    journal = fresh()
    journal.note_chunk(file_entry(), entry(2, 6, 12))
    await _put(storage, journal.segment(START), 1)
    found = {j.attempt: j for j in (await find_journals(storage, PREFIX)).journals}
    assert found["old"] == old
    assert [c.name for c in found["a1"].files[0].chunks] == ["001-000002.ts"]
