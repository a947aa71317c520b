"""What becomes of a file after its end: chunks and playlists come and go, the MP4 expires.

Every step can be repeated: objects are deleted before it is noted that they are gone.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from sluice_media.contract import RecordedFile, StoredRecording
from sluice_media.record.merge import MergedFile
from sluice_media.record.playlist import merged_playlist
from sluice_media.store import keys
from sluice_media.store.catalog import RecordingView, load_view
from sluice_media.store.retention import expires_at, originals_until
from sluice_media.store.target import Target

__all__ = ["clear", "delete_originals", "expire", "write_playlist"]

_log = structlog.get_logger(__name__)


async def write_playlist(target: Target, view: RecordingView, file: MergedFile) -> str:
    """Makes the chunks of a closed file playable; returns the playlist's key.

    Raises TargetError."""
    key = keys.original_key(view.prefix, file.index)
    text = merged_playlist(file, lambda attempt, name: f"{attempt}/{name}", closed=True)
    await target.put(key, text.encode())
    return key


async def delete_originals(target: Target, view: RecordingView, file: MergedFile) -> None:
    """Chunks and playlists of one file. Raises TargetError."""
    await target.delete(
        # First, so that no playlist names what is not there any more.
        keys.original_key(view.prefix, file.index),
        *(
            keys.playlist_key(view.prefix, journal.attempt, file.index)
            for journal in view.journals
        ),
    )
    await target.delete(*view.chunk_keys(file))


async def clear(target: Target, view: RecordingView) -> None:
    """At the very end: whatever chunks and playlists are left belong to nothing but originals that
    are kept. Raises TargetError."""
    kept: set[str] = set()
    for file in view.files:
        result = view.results.get(file.index)
        if result is not None and result.original_uri is not None:
            kept |= {keys.original_key(view.prefix, file.index), *view.chunk_keys(file)}
    left = [
        entry.key
        async for entry in target.list(view.prefix)
        if entry.key.endswith((".ts", ".m3u8")) and entry.key not in kept
    ]
    await target.delete(*left)


async def expire(
    target: Target,
    uid: str,
    files: list[RecordedFile],
    told: StoredRecording | None,
    now: datetime,
) -> list[RecordedFile]:
    """Deletes what is due; returns the files as they are now. Raises TargetError."""
    after = []
    view: RecordingView | None = None
    for file in files:
        mp4_due, originals_due = expires_at(file, told), originals_until(file, told)
        mp4_goes = mp4_due is not None and mp4_due <= now
        originals_go = originals_due is not None and originals_due <= now
        if not mp4_goes and not originals_go:
            after.append(file)
            continue
        view = view or await load_view(target, uid)
        changes: dict[str, object] = {}
        if originals_go or (mp4_goes and file.state == "Failed"):
            for merged in view.files:
                if merged.index == file.index:
                    await delete_originals(target, view, merged)
            changes["original_uri"] = None
        if mp4_goes:
            await target.delete(keys.mp4_key(view.prefix, uid, file.index))
            changes |= {"state": "Expired", "uri": None, "message": None}
        changed = file.model_copy(update=changes)
        key = keys.result_key(view.prefix, file.index)
        await target.put(key, changed.to_json().encode())
        _log.info("retention", recording=uid, file=file.index, mp4=mp4_goes, originals=originals_go)
        after.append(changed)
    return after
