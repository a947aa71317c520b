"""The life of a finished file: its chunks and playlists, and the expiry of its MP4.

Every step can be repeated: objects are deleted before the deletion is noted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import structlog

from sluice_media.contract import FileState, RecordedFile, StoredRecording
from sluice_media.recording import keys
from sluice_media.recording.merge import MergedFile
from sluice_media.recording.playlist import merged_playlist
from sluice_media.storage.json_objects import ObjectDamagedError, load, load_whole
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.catalog import RecordingView, load_view
from sluice_media.store.chunk_source import ChunkId
from sluice_media.store.kept import HeldUnits, KeptChunks, Manifest, find_late, find_unnamed
from sluice_media.store.retention import expires_at, originals_until

_NOT_DELETED = "its chunks are not deleted, because the list of the chunks in the MP4 is damaged"
_log = structlog.get_logger(__name__)


async def write_playlist(storage: ObjectStore, view: RecordingView, file: MergedFile) -> str:
    """Write the playlist of a closed file's chunks, and return its key. Raises StorageError."""
    key = keys.original_key(view.prefix, file.index)
    text = merged_playlist(file, lambda attempt, name: f"{attempt}/{name}", closed=True)
    await storage.put(key, text.encode())
    return key


async def write_manifest(
    storage: ObjectStore, view: RecordingView, file: MergedFile, made: RecordedFile
) -> None:
    """Store the list of the chunks in an MP4; only these may be deleted. Raises StorageError."""
    manifest = Manifest(chunks=[chunk.id for chunk in file.chunks], made=made)
    await storage.put(keys.manifest_key(view.prefix, file.index), manifest.to_json().encode())


async def load_made(
    storage: ObjectStore, view: RecordingView, file: MergedFile
) -> RecordedFile | None:
    """Return the result of an MP4 whose chunks are being deleted, from its manifest; None when all
    chunks are there.

    Made again from the remaining chunks, the MP4 would hold less. Raises StorageError."""
    manifest = await load(storage, keys.manifest_key(view.prefix, file.index), Manifest)
    if manifest is None or view.chunks.keys() >= set(manifest.chunks):
        return None
    return manifest.made


async def delete_originals(storage: ObjectStore, view: RecordingView, file: MergedFile) -> bool:
    """Delete chunks and playlists of one file. Return False, and delete nothing, when the list of
    the chunks that may go is damaged. Raises StorageError."""
    try:
        chunks = await _originals(storage, view, file)
    except ObjectDamagedError:
        return False
    await storage.delete(
        # First, so that no playlist names what is not there any more.
        keys.original_key(view.prefix, file.index),
        *(keys.playlist_key(view.prefix, journal.attempt, file.index) for journal in view.journals),
    )
    await storage.delete(*chunks)
    return True


async def _originals(storage: ObjectStore, view: RecordingView, file: MergedFile) -> list[str]:
    """Return the chunks that may be deleted: those in the file's MP4. Without an MP4, or when a
    former version made it, those that the journals name. Raises ObjectDamagedError."""
    key = keys.manifest_key(view.prefix, file.index)
    manifest = None if view.is_discarded else await load_whole(storage, key, Manifest)
    return view.chunk_keys(file) if manifest is None else manifest.keys(view.prefix)


@dataclass(slots=True)
class _ChunkKeys:
    """The keys of the chunks that journals name, in three groups."""

    originals: set[str] = field(default_factory=set)
    """Chunks and playlists that are kept as originals."""
    deletable: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    """Chunks of files whose manifest is damaged."""
    damaged_manifests: int = 0


async def _classify(storage: ObjectStore, view: RecordingView) -> _ChunkKeys:
    found = _ChunkKeys()
    for file in view.files:
        result = view.results.get(file.index)
        if result is None:
            continue
        going = found.deletable
        if result.original_uri is not None:
            going = found.originals
            going.add(keys.original_key(view.prefix, file.index))
        try:
            going |= set(await _originals(storage, view, file))
        except ObjectDamagedError:
            found.unsure |= set(view.chunk_keys(file))
            found.damaged_manifests += 1
    return found


async def clear_finished(
    storage: ObjectStore, view: RecordingView, now: datetime
) -> KeptChunks | None:
    """Delete the chunks that are in MP4s and not kept as originals, and list the other chunks,
    which are kept. The last step of a recording. Raises StorageError."""
    prefix = view.prefix
    chunks = await _classify(storage, view)
    readable = {journal.attempt for journal in view.journals}
    left, others = [], []
    async for entry in storage.list(prefix):
        attempt, _, name = entry.key.removeprefix(f"{prefix}/").rpartition("/")
        if entry.key in chunks.originals:
            continue
        if entry.key.endswith(".m3u8"):
            # The playlist of an attempt without a journal is the only record of its chunks' order.
            if not attempt or attempt in readable:
                left.append(entry.key)
        elif entry.key.endswith(".ts"):
            if entry.key in chunks.deletable:
                left.append(entry.key)
            else:
                others.append(((attempt, name), entry.size_bytes))
    kept = await _keep(storage, view, chunks, others, now) if others else None
    await storage.delete(*left)
    return kept


async def _keep(
    storage: ObjectStore,
    view: RecordingView,
    chunks: _ChunkKeys,
    others: list[tuple[ChunkId, int]],
    now: datetime,
) -> KeptChunks:
    prefix, journals = view.prefix, view.journals
    key = keys.kept_key(prefix)
    known = await load(storage, key, KeptChunks)
    held = HeldUnits(prefix, journals, chunks.originals | chunks.deletable | chunks.unsure)
    unnamed = await find_unnamed(storage, prefix, journals, held, others)
    late = await find_late(storage, prefix, journals, held, (chunk for chunk, _ in others))
    kept = KeptChunks(
        since=known.since if known is not None else now,
        chunks=[chunk for chunk, _ in others],
        unnamed=len(unnamed),
        late=len(late),
        damaged_manifests=chunks.damaged_manifests,
    )
    await storage.put(key, kept.to_json().encode())
    _log.warning(
        "chunks_kept",
        recording=view.uid,
        chunks=len(others),
        unnamed=len(unnamed),
        late=len(late),
    )
    return kept


async def delete_kept(storage: ObjectStore, prefix: str) -> None:
    """Delete the kept chunks of a recording. Raises StorageError."""
    kept = await load(storage, keys.kept_key(prefix), KeptChunks)
    if kept is None:
        return
    for attempt in {attempt for attempt, _ in kept.chunks}:
        listed = [entry.key async for entry in storage.list(f"{prefix}/{attempt}")]
        await storage.delete(*(key for key in listed if key.endswith(".m3u8")))
    await storage.delete(*(keys.chunk_key(prefix, *chunk) for chunk in kept.chunks))
    await storage.delete(keys.kept_key(prefix))
    _log.info("kept_chunks_deleted", prefix=prefix, chunks=len(kept.chunks))


async def expire(
    storage: ObjectStore,
    uid: str,
    files: list[RecordedFile],
    request: StoredRecording | None,
    now: datetime,
) -> list[RecordedFile]:
    """Delete MP4s and chunks whose retention has ended, and return the changed list of files.

    Raises StorageError."""
    after = []
    view: RecordingView | None = None
    for file in files:
        mp4_due, originals_due = expires_at(file, request), originals_until(file, request)
        mp4_goes = mp4_due is not None and mp4_due <= now
        originals_go = originals_due is not None and originals_due <= now
        if not mp4_goes and not originals_go:
            after.append(file)
            continue
        view = view or await load_view(storage, uid)
        changes: dict[str, object] = {}
        if mp4_goes:
            await storage.delete(keys.mp4_key(view.prefix, uid, file.index))
            changes |= {"state": FileState.EXPIRED, "uri": None, "message": None}
        if originals_go or (mp4_goes and file.state == FileState.FAILED):
            for merged in view.files:
                if merged.index == file.index and not await delete_originals(storage, view, merged):
                    changes["message"] = _NOT_DELETED
            changes["original_uri"] = None
        changed = file.model_copy(update=changes)
        key = keys.result_key(view.prefix, file.index)
        await storage.put(key, changed.to_json().encode())
        _log.info("retention", recording=uid, file=file.index, mp4=mp4_goes, originals=originals_go)
        after.append(changed)
    return after
