"""Chunks that are in no MP4 are kept, and reported when nothing else holds their units."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from sluice_media.contract import RecordedFile, StoredRecording
from sluice_media.recording import keys
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store import originals
from sluice_media.store.catalog import RecordingView, load_view
from sluice_media.store.kept import Manifest
from tests.support.store_records import PREFIX, START, UID, chunk, file_entry, leave, span
from tests.unit.store.test_unnamed import STEP, WRAP, cut, damage_packet, recorded, write_journal

MADE = RecordedFile(
    index=1, name=keys.mp4_name(UID, 1), state="Ready", started_at=START, ended_at=START
)


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStore:
    return open_volume(tmp_path / "store")


async def finish(
    storage: ObjectStore, *held: tuple[str, str], original_uri: str | None = None
) -> None:
    """Write the store's objects for an MP4 of file 1 that was made of these chunks."""
    made = MADE.model_copy(update={"original_uri": original_uri})
    await storage.put(keys.result_key(PREFIX, 1), made.to_json().encode())
    manifest = Manifest(chunks=list(held), made=made)
    await storage.put(keys.manifest_key(PREFIX, 1), manifest.to_json().encode())


async def cleared(storage: ObjectStore) -> RecordingView:
    """The recording after the last step."""
    view = await load_view(storage, UID)
    view.kept = await originals.clear_finished(storage, view, START)
    return view


async def chunks_left(storage: ObjectStore) -> list[str]:
    keys_left = [entry.key async for entry in storage.list(PREFIX)]
    return sorted(key.removeprefix(f"{PREFIX}/") for key in keys_left if key.endswith(".ts"))


async def damage_manifest(storage: ObjectStore) -> None:
    key = keys.manifest_key(PREFIX, 1)
    await storage.put(key, (await storage.get(key))[:-1])


@pytest.mark.parametrize("original_uri", [None, "pvc://c/001.m3u8"])
async def test_a_damaged_manifest_deletes_no_chunk_and_is_reported(
    storage: ObjectStore, original_uri: str | None
) -> None:
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)}), chunk(2, {0: span(20, 29)})))
    await storage.put(keys.original_key(PREFIX, 1), b"#EXTM3U")
    await finish(storage, ("attempt1", keys.chunk_name(1, 1)), original_uri=original_uri)
    await damage_manifest(storage)
    result = (await cleared(storage)).result()
    assert await chunks_left(storage) == ["attempt1/001-000001.ts", "attempt1/001-000002.ts"]
    assert (result.incomplete_reason, result.kept_chunks) == ("ManifestDamaged", 2)
    assert result.incomplete_message == (
        "1 list of the chunks in an MP4 is damaged; all chunks of that file are kept."
    )
    if original_uri is not None:
        assert await storage.get(keys.original_key(PREFIX, 1))


async def test_a_file_without_a_manifest_is_one_of_a_former_version(storage: ObjectStore) -> None:
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))
    await finish(storage)
    await storage.delete(keys.manifest_key(PREFIX, 1))
    result = (await cleared(storage)).result()
    assert (result.incomplete_reason, await chunks_left(storage)) == (None, [])


async def test_originals_whose_manifest_is_damaged_outlive_their_term(storage: ObjectStore) -> None:
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))
    await finish(storage, ("attempt1", keys.chunk_name(1, 1)), original_uri="pvc://c/001.m3u8")
    await damage_manifest(storage)
    files = [MADE.model_copy(update={"original_uri": "pvc://c/001.m3u8"})]
    told = StoredRecording(uid=UID, name="rec", prefix=PREFIX, keep_original=False)
    (after,) = await originals.expire(storage, UID, files, told, START + timedelta(days=1))
    assert await chunks_left(storage) == ["attempt1/001-000001.ts"]
    assert after.original_uri is None
    assert after.message == (
        "its chunks are not deleted, because the list of the chunks in the MP4 is damaged"
    )


CHUNK = 282
"""Frames in a chunk of ``recorded``."""


async def finish_with_a_hole(storage: ObjectStore, tmp_path: Path) -> None:
    """An MP4 of ten chunks of attempt b without the three in the middle."""
    file = recorded(tmp_path, "b")
    there = [*file.chunks[:3], *file.chunks[6:]]
    for gone in file.chunks[3:6]:
        await storage.delete(keys.chunk_key(PREFIX, "b", gone.name))
    await write_journal(storage, file, [there], "b")
    await finish(storage, *(("b", entry.name) for entry in there))


@pytest.mark.parametrize(
    ("first_frame", "count", "late"),
    [
        pytest.param(0, 8, 3, id="the same chunks"),
        pytest.param(100, 8, 4, id="chunks that were cut elsewhere"),
        pytest.param(0, 3, 0, id="copies"),
        pytest.param(6 * CHUNK + 100, 3, 0, id="copies that were cut elsewhere"),
        pytest.param(9 * CHUNK + 100, 1, 1, id="beyond the end"),
    ],
)
async def test_units_that_only_an_attempt_has_that_came_late_are_reported(
    storage: ObjectStore, tmp_path: Path, first_frame: int, count: int, late: int
) -> None:
    await finish_with_a_hole(storage, tmp_path)
    file = recorded(tmp_path, "a", count, first_frame * STEP)
    head = file.model_copy(update={"first_dts": 0})
    await write_journal(storage, head, [file.chunks], "a")
    view = await cleared(storage)
    result = view.result()
    assert await chunks_left(storage) == [f"a/{entry.name}" for entry in file.chunks]
    assert view.kept is not None
    assert (view.kept.late, result.kept_chunks) == (late, count)
    assert result.incomplete_reason == ("ChunksLate" if late else None)
    if late == 3:
        assert result.incomplete_message == (
            "3 chunks are in no file, because the MP4 was made before the chunks came."
        )


async def finish_with_a_successor(
    storage: ObjectStore, tmp_path: Path, first: int = 0, count: int = 3
) -> None:
    """An MP4 of eight chunks of attempt a, which died before it could name two more, and of
    ``count`` chunks of attempt b, which recorded their units again and cut them elsewhere."""
    file = recorded(tmp_path, "a", 10, first)
    after = recorded(tmp_path, "b", count, first + (8 * CHUNK - 100) * STEP)
    await write_journal(storage, file, [file.chunks[:8]], "a")
    head = after.model_copy(update={"first_dts": first})
    await write_journal(storage, head, [after.chunks], "b")
    held = [("a", entry.name) for entry in file.chunks[:8]]
    await finish(storage, *held, *(("b", entry.name) for entry in after.chunks))


NEVER_NAMED = ["a/001-000009.ts", "a/001-000010.ts"]


@pytest.mark.parametrize("first", [0, WRAP - 5 * CHUNK * STEP - 7, 3 * WRAP - 9 * CHUNK * STEP])
async def test_units_that_a_successor_recorded_again_are_copies(
    storage: ObjectStore, tmp_path: Path, first: int
) -> None:
    """Their bytes differ: the successor has its own continuity counters."""
    await finish_with_a_successor(storage, tmp_path, first)
    result = (await cleared(storage)).result()
    assert await chunks_left(storage) == NEVER_NAMED
    assert (result.incomplete_reason, result.kept_chunks) == (None, 2)


async def test_a_chunk_that_nobody_recorded_again_is_reported(
    storage: ObjectStore, tmp_path: Path
) -> None:
    await finish_with_a_successor(storage, tmp_path, count=2)
    view = await cleared(storage)
    assert await chunks_left(storage) == NEVER_NAMED
    assert view.kept is not None
    assert (view.kept.unnamed, view.result().incomplete_reason) == (1, "ChunksUnnamed")


@pytest.mark.parametrize("harm", [damage_packet, cut])
async def test_a_chunk_that_is_not_whole_is_no_copy(
    storage: ObjectStore, tmp_path: Path, harm: Callable[[ObjectStore, str], Awaitable[None]]
) -> None:
    await finish_with_a_successor(storage, tmp_path)
    await harm(storage, keys.chunk_key(PREFIX, "a", keys.chunk_name(1, 9)))
    assert (await cleared(storage)).result().incomplete_reason == "ChunksUnnamed"


async def test_units_of_another_timeline_are_no_copies(
    storage: ObjectStore, tmp_path: Path
) -> None:
    """Two timelines may have the same times; a chunk's name says only the index of its file."""
    await finish_with_a_successor(storage, tmp_path)
    other = recorded(tmp_path, "c", 1)
    head = other.model_copy(update={"timeline": "t2", "started_at": START + timedelta(hours=1)})
    await write_journal(storage, head, [other.chunks], "c")
    view = await cleared(storage)
    assert view.kept is not None
    assert view.kept.unnamed == 2


async def test_in_a_recording_of_days_a_copy_has_its_units_on_each_day(
    storage: ObjectStore, tmp_path: Path
) -> None:
    """Coded times repeat after 26.5 hours."""
    file = recorded(tmp_path, "a", 10)
    next_turn = recorded(tmp_path, "b", 10, WRAP + 100 * STEP)
    there = [*file.chunks[:4], *file.chunks[5:]]
    await write_journal(storage, file, [there], "a")
    head = next_turn.model_copy(update={"first_dts": 0})
    await write_journal(storage, head, [next_turn.chunks], "b")
    held = [("a", entry.name) for entry in there]
    await finish(storage, *held, *(("b", entry.name) for entry in next_turn.chunks))
    assert (await cleared(storage)).result().incomplete_reason == "ChunksUnnamed"
