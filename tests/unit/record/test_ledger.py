"""The recorder's ledger holds the same list as the store would return."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sluice_media.record.ledger import Ledger
from sluice_media.recording.journal import Journal
from sluice_media.recording.journals import find_journals
from tests.unit.record.chunk_entries import START, entry, file_entry

PREFIX = "recordings/uid"


def journal(attempt: str, *names: int, minutes: int = 0) -> Journal:
    chunks = [entry(number, 6 * number, 6 * number + 6) for number in names]
    file = file_entry().model_copy(update={"chunks": chunks})
    began = START + timedelta(minutes=minutes)
    return Journal(attempt=attempt, recording_uid="uid", started_at=began, files=[file])


async def test_it_tells_what_the_store_told_and_took_since(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "known", PREFIX)
    assert not ledger.is_usable
    earlier, first, second = journal("a1", 1), journal("b2", 2), journal("b2", 3)
    ledger.learn([earlier])
    ledger.note("b2", 1, first.to_json().encode())
    ledger.note("b2", 2, second.to_json().encode())
    again = Ledger(tmp_path / "known", PREFIX)
    assert again.is_usable
    found = {j.attempt: j for j in (await find_journals(again.storage(), PREFIX)).journals}
    assert found["a1"] == earlier
    assert [c.first_dts for f in found["b2"].files for c in f.chunks] == [
        c.first_dts for j in (first, second) for f in j.files for c in f.chunks
    ]


async def test_what_the_store_says_replaces_what_was_known(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "known", PREFIX)
    ledger.learn([journal("a1", 1)])
    ledger.learn([journal("c3", 1)])
    assert [j.attempt for j in (await find_journals(ledger.storage(), PREFIX)).journals] == ["c3"]


def test_of_another_attempt_nothing_is_believed_any_more(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "known", PREFIX)
    ledger.learn([])
    assert ledger.is_usable
    ledger.forget()
    ledger.note("a1", 1, b"{}")
    assert not ledger.is_usable


def test_a_disk_that_takes_nothing_costs_the_ledger_only(tmp_path: Path) -> None:
    (tmp_path / "known").write_text("in the way")
    ledger = Ledger(tmp_path / "known", PREFIX)
    ledger.learn([journal("a1", 1)])
    assert not ledger.is_usable
