"""Two recorders of one Recording: the newer one records, and one of them says that it is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sluice_media.record.fence import Fence, Verdict, begin_behind
from sluice_media.recording import keys
from sluice_media.recording.journal import Completion
from sluice_media.recording.segments import SegmentedJournal
from sluice_media.storage.object_store import ObjectStore, open_volume
from tests.unit.record.chunk_entries import START

PREFIX = "recordings/r"


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStore:
    return open_volume(tmp_path)


async def begins(storage: ObjectStore, attempt: str, at: datetime, *, written: int = 0) -> None:
    journal = SegmentedJournal(attempt=attempt, recording_uid="r", started_at=at)
    segment = journal.segment(at + timedelta(seconds=written))
    await storage.put(keys.journal_segment_key(PREFIX, attempt, 1), segment.to_json().encode())


def test_an_attempt_begins_behind_all_it_has_found_whatever_its_clock_says() -> None:
    late = START + timedelta(hours=1)
    assert begin_behind(START, [late, START]) > late
    assert begin_behind(late, [START]) == late


async def test_the_newest_attempt_is_in_charge(storage: ObjectStore) -> None:
    old, new = (
        Fence(storage, PREFIX, name, START + timedelta(seconds=n))
        for n, name in enumerate(("old", "new"))
    )
    await begins(storage, "old", START)
    assert await old.verdict() is Verdict.IN_CHARGE
    await begins(storage, "new", START + timedelta(seconds=1))
    assert await old.verdict() is Verdict.SUPERSEDED
    assert await new.verdict() is Verdict.IN_CHARGE


async def test_of_two_that_began_at_the_same_moment_one_is_in_charge(storage: ObjectStore) -> None:
    for name in ("a", "b"):
        await begins(storage, name, START)
    verdicts = [await Fence(storage, PREFIX, name, START).verdict() for name in ("a", "b")]
    assert verdicts == [Verdict.SUPERSEDED, Verdict.IN_CHARGE]


async def test_a_recording_that_is_done_is_done(storage: ObjectStore) -> None:
    done = Completion(end_reason="Stopped", at=START)
    await storage.put(keys.done_key(PREFIX), done.to_json().encode())
    assert await Fence(storage, PREFIX, "a", START).verdict() is Verdict.DONE


async def test_chunks_without_a_journal_overtake_nobody(storage: ObjectStore) -> None:
    await storage.put(keys.chunk_key(PREFIX, "other", "001-000001.ts"), b"\x47")
    assert await Fence(storage, PREFIX, "a", START).verdict() is Verdict.IN_CHARGE


async def test_who_stands_by_sees_whether_the_other_lives(storage: ObjectStore) -> None:
    fence = Fence(storage, PREFIX, "old", START)
    await begins(storage, "new", START + timedelta(seconds=1))
    await fence.verdict()
    sign = await fence.sign_of_life()
    assert sign == await fence.sign_of_life()
    await begins(storage, "new", START + timedelta(seconds=1), written=15)
    assert sign != await fence.sign_of_life()
