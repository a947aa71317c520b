"""A Recording's ``status.files``, merged from the stored list, the recorder and the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sluice_media.contract import MAX_LISTED_GAPS, FileState, RecordedFile
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.times import utc_text

OPEN_STATES = frozenset({FileState.RECORDING, FileState.INTERRUPTED})
"""States of a file that is being written."""
MAX_FILES = 200
"""Maximum number of files that a status lists: the newest ones."""
_FROM_RECORDER = ("title", "gaps", "endReason")
_FINISHED = frozenset({FileState.READY, FileState.EXPIRED, FileState.FAILED, FileState.DISCARDED})


def file_entry(file: RecordedFile) -> dict[str, Any]:
    """Return one file as an entry of the status."""
    entry: dict[str, Any] = {
        "index": file.index,
        "name": file.name,
        "title": file.title or None,
        "state": file.state,
        "startedAt": utc_text(file.started_at),
        "endedAt": utc_text(file.ended_at) if file.ended_at else None,
        "durationSeconds": round(file.duration_seconds, 3),
        "sizeBytes": file.size_bytes,
        "sha256": file.sha256,
        "uri": file.uri,
        "originUri": file.original_uri,
        "expiresAt": utc_text(file.expires_at) if file.expires_at else None,
        "gaps": [
            {"atSeconds": round(gap.at_seconds, 3), "wallSeconds": round(gap.wall_seconds, 3)}
            for gap in file.gaps[:MAX_LISTED_GAPS]
        ]
        or None,
        "endReason": file.end_reason,
        "message": file.message,
    }
    return {key: value for key, value in entry.items() if value is not None}


def merged_files(
    stored: Iterable[Raw], recorder: Iterable[RecordedFile], store: Iterable[RecordedFile]
) -> list[dict[str, Any]]:
    """Return the files of all sources by index. A later source takes precedence, but a finished
    file stays finished."""
    by_index: dict[int, dict[str, Any]] = {entry["index"]: dict(entry) for entry in stored}
    for source in (recorder, store):
        for file in source:
            _merge(by_index, file_entry(file))
    return [by_index[index] for index in sorted(by_index)][-MAX_FILES:]


def _merge(by_index: dict[int, dict[str, Any]], entry: dict[str, Any]) -> None:
    known = by_index.get(entry["index"], {})
    finished = entry["state"] in _FINISHED
    if known.get("state") in _FINISHED and not finished:
        return
    if known.get("state") == FileState.EXPIRED and entry["state"] == FileState.READY:
        return
    # Only the recorder reports gaps and end reasons. A missing playlist counts only once the file
    # is finished.
    kept = _FROM_RECORDER if finished else (*_FROM_RECORDER, "originUri")
    inherited = {key: known[key] for key in kept if key in known}
    by_index[entry["index"]] = inherited | entry


def total_seconds(files: Iterable[Mapping[str, Any]]) -> float:
    seconds = [
        float(f.get("durationSeconds", 0)) for f in files if f["state"] != FileState.DISCARDED
    ]
    return round(sum(seconds), 3)


def file_count(files: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of all files, also of those that the list has no room for."""
    return int(files[-1]["index"]) if len(files) == MAX_FILES else len(files)


def total_bytes(files: Iterable[Mapping[str, Any]]) -> int:
    """Return the size of the finished files."""
    return sum(f.get("sizeBytes", 0) for f in files if f["state"] == FileState.READY)
