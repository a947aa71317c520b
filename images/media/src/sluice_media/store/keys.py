"""Names of what lies in a store. Everything is made of ids, never of titles.

::

    <prefix>/recording.json                   RecordingHead, by every attempt of the recorder
    <prefix>/done.json                        Completion: no recorder will write any more
    <prefix>/<attempt uid>/journal.json       Journal
    <prefix>/<attempt uid>/<file>-<chunk>.ts  chunks
    <prefix>/<recording uid>-<file>.mp4       what people keep
    <prefix>/files/<file>.json                FileResult, by the store
    recordings/<recording uid>/request.json   StoredRecording, as the operator told it
    recordings/<recording uid>/result.json    StoredResult: finished for good
    usage.json                                StoreUsage: what everything together takes
"""

from __future__ import annotations

import re

__all__ = [
    "RECORDINGS",
    "SCRATCH",
    "attempt_prefix",
    "chunk_key",
    "chunk_name",
    "done_key",
    "head_key",
    "is_id",
    "journal_key",
    "mp4_key",
    "mp4_name",
    "request_key",
    "result_key",
    "settled_key",
    "usage_key",
]

RECORDINGS = "recordings"
"""Folder of all recordings; a recorder's prefix is ``recordings/<uid>`` unless it is told so."""
SCRATCH = ".scratch"
"""Folder for unfinished files, where the storage is local."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,79}")


def is_id(text: str) -> bool:
    """Whether this may be an id in a key: no separator, no dot, nothing to climb with."""
    return _ID.fullmatch(text) is not None


def head_key(prefix: str) -> str:
    return f"{prefix}/recording.json"


def done_key(prefix: str) -> str:
    return f"{prefix}/done.json"


def attempt_prefix(prefix: str, attempt: str) -> str:
    return f"{prefix}/{attempt}"


def journal_key(prefix: str, attempt: str) -> str:
    return f"{prefix}/{attempt}/journal.json"


def chunk_name(file_index: int, sequence: int) -> str:
    return f"{file_index:03d}-{sequence:06d}.ts"


def chunk_key(prefix: str, attempt: str, name: str) -> str:
    return f"{prefix}/{attempt}/{name}"


def mp4_name(recording_uid: str, file_index: int) -> str:
    return f"{recording_uid}-{file_index:03d}.mp4"


def mp4_key(prefix: str, recording_uid: str, file_index: int) -> str:
    return f"{prefix}/{mp4_name(recording_uid, file_index)}"


def result_key(prefix: str, file_index: int) -> str:
    return f"{prefix}/files/{file_index:03d}.json"


def request_key(recording_uid: str) -> str:
    return f"{RECORDINGS}/{recording_uid}/request.json"


def settled_key(recording_uid: str) -> str:
    return f"{RECORDINGS}/{recording_uid}/result.json"


def usage_key() -> str:
    return "usage.json"
