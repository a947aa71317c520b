"""The retention of files (pure): MP4s by ``retention_seconds``, chunks by ``original_seconds``.

In: a file's result, and the operator's request for its Recording, which may change at any time.
Out: the times at which to delete; the caller has the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sluice_media.contract import FileState, RecordedFile, StoredRecording, StoredResult

KEPT_SECONDS = 7 * 86_400
"""Minimum time for which chunks that are in no MP4 are kept, seconds."""
_EXPIRING = (FileState.READY, FileState.FAILED)


def expires_at(file: RecordedFile, request: StoredRecording | None) -> datetime | None:
    """Return when the MP4 is deleted; None: never, or there is none."""
    if request is None or request.retention_seconds is None or file.ended_at is None:
        return None
    if file.state not in _EXPIRING:
        return None
    return _after(file.ended_at, request.retention_seconds)


def originals_until(file: RecordedFile, request: StoredRecording | None) -> datetime | None:
    """Return when the chunks are deleted; None: never, or they are deleted.

    The chunks of a file without an MP4 are its only content, and are deleted with the file."""
    if file.original_uri is None or file.ended_at is None or file.state == FileState.FAILED:
        return None
    if request is None or not request.keep_original:
        return file.ended_at
    return _after(file.ended_at, request.original_seconds)


def kept_until(since: datetime, request: StoredRecording | None) -> datetime | None:
    """Return when chunks that are in no MP4 are deleted; None: beyond the year 9999."""
    original_seconds = request.original_seconds if request is not None else 0
    return _after(since, max(KEPT_SECONDS, original_seconds))


def next_due(
    files: Iterable[RecordedFile],
    request: StoredRecording | None,
    kept_since: datetime | None = None,
) -> datetime | None:
    """Return the next time at which something of a recording is deleted; None: never."""
    moments = [
        moment
        for file in files
        for moment in (expires_at(file, request), originals_until(file, request))
    ]
    if kept_since is not None:
        moments.append(kept_until(kept_since, request))
    return min((moment for moment in moments if moment is not None), default=None)


def with_expiry(file: RecordedFile, request: StoredRecording | None) -> RecordedFile:
    return file.model_copy(update={"expires_at": expires_at(file, request)})


def published(result: StoredResult, request: StoredRecording | None) -> StoredResult:
    """Return a result with the times of deletion that follow from the present request."""
    changes: dict[str, object] = {"files": [with_expiry(file, request) for file in result.files]}
    if result.kept_since is not None:
        changes["kept_until"] = kept_until(result.kept_since, request)
    return result.model_copy(update=changes)


def _after(moment: datetime, seconds: float) -> datetime | None:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:  # beyond the year 9999
        return None
