"""How long files stay (pure): the MP4 by ``retention_seconds``, the chunks by ``original_seconds``.

Comes in: what is known of a file, and what was told of its Recording, which may change at any
time. Goes out: moments; whoever holds the clock acts on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sluice_media.contract import RecordedFile, StoredRecording, StoredResult

KEPT_SECONDS = 7 * 86_400
"""The least time for which chunks are kept that are in no MP4."""
_EXPIRING = ("Ready", "Failed")


def expires_at(file: RecordedFile, told: StoredRecording | None) -> datetime | None:
    """When the file goes; None: never, or there is nothing to go."""
    if told is None or told.retention_seconds is None or file.ended_at is None:
        return None
    if file.state not in _EXPIRING:
        return None
    return _after(file.ended_at, told.retention_seconds)


def originals_until(file: RecordedFile, told: StoredRecording | None) -> datetime | None:
    """When the chunks go; None: they stay, or are gone. Those of a file that could not be made
    into an MP4 are all there is of it, and go with it."""
    if file.original_uri is None or file.ended_at is None or file.state == "Failed":
        return None
    if told is None or not told.keep_original:
        return file.ended_at
    return _after(file.ended_at, told.original_seconds)


def kept_until(since: datetime, told: StoredRecording | None) -> datetime | None:
    """When chunks go that are in no MP4."""
    original_seconds = told.original_seconds if told is not None else 0
    return _after(since, max(KEPT_SECONDS, original_seconds))


def next_due(
    files: Iterable[RecordedFile],
    told: StoredRecording | None,
    kept_since: datetime | None = None,
) -> datetime | None:
    """The first moment at which something of a recording goes."""
    moments = [
        moment for file in files for moment in (expires_at(file, told), originals_until(file, told))
    ]
    if kept_since is not None:
        moments.append(kept_until(kept_since, told))
    return min((moment for moment in moments if moment is not None), default=None)


def with_expiry(file: RecordedFile, told: StoredRecording | None) -> RecordedFile:
    return file.model_copy(update={"expires_at": expires_at(file, told)})


def published(result: StoredResult, told: StoredRecording | None) -> StoredResult:
    """A result with the moments that follow from what is told now."""
    changes: dict[str, object] = {"files": [with_expiry(file, told) for file in result.files]}
    if result.kept_since is not None:
        changes["kept_until"] = kept_until(result.kept_since, told)
    return result.model_copy(update=changes)


def _after(moment: datetime, seconds: float) -> datetime | None:
    try:
        return moment + timedelta(seconds=seconds)
    except OverflowError:  # beyond the year 9999
        return None
