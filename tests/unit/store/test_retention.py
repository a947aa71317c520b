"""The retention of files: how long each kind stays, and how it is deleted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sluice_media.contract import RecordedFile, StoredRecording
from sluice_media.recording import keys
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store import originals
from sluice_media.store.catalog import load_finalized
from sluice_media.store.results import load_result
from sluice_media.store.retention import expires_at, next_due, originals_until
from sluice_media.store.worker import Finisher
from tests.support.store_records import PREFIX, START, UID, chunk, file_entry, leave, span

END = START + timedelta(hours=1)
HOUR = 3600


def file(state: str = "Ready", original: bool = False) -> RecordedFile:
    return RecordedFile.model_validate(
        {
            "index": 1,
            "name": keys.mp4_name(UID, 1),
            "state": state,
            "started_at": START,
            "ended_at": END,
            "uri": "s3://b/mp4",
            "original_uri": "s3://b/m3u8" if original else None,
        }
    )


def told(**terms: object) -> StoredRecording:
    return StoredRecording.model_validate({"uid": UID, "name": "rec", "prefix": PREFIX, **terms})


@pytest.mark.parametrize(
    ("state", "terms", "want_hours"),
    [
        ("Ready", {}, None),
        ("Ready", {"retention_seconds": HOUR}, 1),
        ("Ready", {"retention_seconds": 0}, 0),
        ("Failed", {"retention_seconds": HOUR}, 1),
        ("Recording", {"retention_seconds": HOUR}, None),
        ("Discarded", {"retention_seconds": HOUR}, None),
        ("Ready", {"retention_seconds": 1e15}, None),
    ],
)
def test_a_file_expires_so_long_after_its_end(
    state: str, terms: dict[str, object], want_hours: int | None
) -> None:
    want = None if want_hours is None else END + timedelta(hours=want_hours)
    assert expires_at(file(state), told(**terms)) == want
    assert expires_at(file(state), None) is None


@pytest.mark.parametrize(
    ("original", "state", "terms", "want"),
    [
        (False, "Ready", {"keep_original": True}, None),
        (
            True,
            "Ready",
            {"keep_original": True, "original_seconds": HOUR},
            END + timedelta(hours=1),
        ),
        (True, "Ready", {"keep_original": False}, END),
        (True, "Failed", {"keep_original": False}, None),
    ],
)
def test_originals_stay_as_long_as_they_are_wanted_or_needed(
    original: bool, state: str, terms: dict[str, object], want: datetime | None
) -> None:
    assert originals_until(file(state, original), told(**terms)) == want


def test_the_next_moment_is_the_earliest_of_all() -> None:
    terms = told(retention_seconds=2 * HOUR, keep_original=True, original_seconds=HOUR)
    assert next_due([file(original=True), file()], terms) == END + timedelta(hours=1)
    assert next_due([file()], told()) is None


async def objects(storage: ObjectStore) -> set[str]:
    return {e.key.rpartition("/")[2] async for e in storage.list(PREFIX)}


async def test_an_expired_file_leaves_its_entry_and_nothing_else(tmp_path: Path) -> None:
    storage = open_volume(tmp_path)
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))
    await storage.put(keys.mp4_key(PREFIX, UID, 1), b"mp4")
    terms = told(retention_seconds=HOUR, keep_original=True, original_seconds=2 * HOUR)
    before = [file(original=True)]
    after = await originals.expire(storage, UID, before, terms, END + timedelta(minutes=59))
    assert after == before
    after = await originals.expire(storage, UID, before, terms, END + timedelta(minutes=61))
    assert (after[0].state, after[0].uri, after[0].original_uri) == ("Expired", None, "s3://b/m3u8")
    assert "001-000001.ts" in await objects(storage)
    for _ in range(2):  # once more, as after a crash before it was noted
        last = await originals.expire(storage, UID, after, terms, END + timedelta(hours=3))
    assert last[0].original_uri is None
    assert not {n for n in await objects(storage) if n.endswith((".ts", ".mp4", ".m3u8"))}


async def test_what_is_told_later_counts_for_what_is_finished_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def finalize(storage: ObjectStore, job: object, scratch: Path) -> RecordedFile:
        await storage.put(keys.mp4_key(PREFIX, UID, 1), b"mp4")
        return file().model_copy(update={"ended_at": datetime.now(UTC)})

    monkeypatch.setattr("sluice_media.store.worker.finalize", finalize)
    storage = open_volume(tmp_path / "store")
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))
    finisher = Finisher(
        storage,
        tmp_path / "scratch",
        uri_base=lambda: "s3://b/",
        on_change=lambda uid: None,
        on_busy=lambda uid: None,
        scan_seconds=0.05,
    )

    async def put(**terms: object) -> None:
        await storage.put(keys.request_key(UID), told(**terms).to_json().encode())
        finisher.wake(UID)

    await put(keep_original=True, original_seconds=HOUR)
    running = asyncio.create_task(finisher.run())
    async with asyncio.timeout(20):
        while (settled := await load_finalized(storage, UID)) is None:
            await asyncio.sleep(0.01)
        assert settled.files[0].original_uri == f"s3://b/{PREFIX}/001.m3u8"
        playlist = (await storage.get(keys.original_key(PREFIX, 1))).decode()
        assert playlist.endswith("attempt1/001-000001.ts\n#EXT-X-ENDLIST\n")
        await put(keep_original=False)
        while {"001.m3u8", "001-000001.ts"} & await objects(storage):
            await asyncio.sleep(0.01)
        await put(retention_seconds=0.3)
        while (await load_result(storage, UID)).files[0].expires_at is not None:
            await asyncio.sleep(0.01)
        result = await load_result(storage, UID)
    running.cancel()
    assert (result.state, result.files[0].state) == ("Done", "Expired")
    assert result.files[0].name not in await objects(storage)
