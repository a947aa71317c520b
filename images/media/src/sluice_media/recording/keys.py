"""The keys of all objects in a store. Keys consist of ids, never of titles.

::

    <prefix>/recording.json                   RecordingHead, by every attempt of the recorder
    <prefix>/done.json                        Completion: no recorder will write any more
    <prefix>/<attempt uid>/journal-<n>.json   Journal, in segments (n from 1)
    <prefix>/<attempt uid>/journal.json       Journal, as recorders of former versions wrote it
    <prefix>/<attempt uid>/recovered.json     Journal, by the store: chunks found again by name
    <prefix>/<attempt uid>/<file>-<chunk>.ts  chunks
    <prefix>/<attempt uid>/<file>.m3u8        playlist of a file's chunks, also of earlier attempts
    <prefix>/<recording uid>-<file>.mp4       a finished MP4
    <prefix>/files/<file>.json                RecordedFile: the result of a file, by the store
    <prefix>/files/<file>.chunks.json         Manifest: the chunks that are in its MP4
    <prefix>/kept.json                        KeptChunks: chunks that are in no MP4
    recordings/<recording uid>/request.json   StoredRecording: the operator's request
    recordings/<recording uid>/result.json    StoredResult: the final result
    <prefix>/<file>.m3u8                      playlist of a finished file's chunks, by the store
    deleted/<recording uid>.json              Deletion: requested, in progress or done
    ended/<namespace>/<name>/<recording uid>.json  EndedRecording: its name
    usage.json                                StoreUsage: the size of all objects
    .probe/<pod>                              test object, written and deleted by the store's probe
"""

from __future__ import annotations

import re

RECORDINGS = "recordings"
"""Folder of all recordings. The default prefix of a recorder is ``recordings/<uid>``."""
DELETED = "deleted"
"""Folder of the deletions, outside of the recordings' folders, which are deleted as a whole."""
ENDED = "ended"
"""Folder of the names of finished Recordings."""
PROBES = ".probe"

_CHUNK = re.compile(r"(\d{3,})-\d{6,}\.ts")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,79}")


def is_id(text: str) -> bool:
    """Return whether ``text`` may be an id in a key: without a separator or a dot."""
    return _ID.fullmatch(text) is not None


def head_key(prefix: str) -> str:
    return f"{prefix}/recording.json"


def done_key(prefix: str) -> str:
    return f"{prefix}/done.json"


def journal_key(prefix: str, attempt: str) -> str:
    return f"{prefix}/{attempt}/journal.json"


def journal_segment_key(prefix: str, attempt: str, number: int) -> str:
    return f"{prefix}/{attempt}/journal-{number:06d}.json"


def recovered_key(prefix: str, attempt: str) -> str:
    return f"{prefix}/{attempt}/recovered.json"


def playlist_key(prefix: str, attempt: str, file_index: int) -> str:
    return f"{prefix}/{attempt}/{file_index:03d}.m3u8"


def chunk_name(file_index: int, sequence: int) -> str:
    return f"{file_index:03d}-{sequence:06d}.ts"


def file_index(name: str) -> int | None:
    """Return the index of the file in a chunk's name; None when ``name`` is not a chunk's."""
    match = _CHUNK.fullmatch(name)
    return None if match is None else int(match[1])


def chunk_key(prefix: str, attempt: str, name: str) -> str:
    return f"{prefix}/{attempt}/{name}"


def mp4_name(recording_uid: str, file_index: int) -> str:
    return f"{recording_uid}-{file_index:03d}.mp4"


def mp4_key(prefix: str, recording_uid: str, file_index: int) -> str:
    return f"{prefix}/{mp4_name(recording_uid, file_index)}"


def result_key(prefix: str, file_index: int) -> str:
    return f"{prefix}/files/{file_index:03d}.json"


def manifest_key(prefix: str, file_index: int) -> str:
    return f"{prefix}/files/{file_index:03d}.chunks.json"


def kept_key(prefix: str) -> str:
    return f"{prefix}/kept.json"


def original_key(prefix: str, file_index: int) -> str:
    return f"{prefix}/{file_index:03d}.m3u8"


def deletion_key(recording_uid: str) -> str:
    return f"{DELETED}/{recording_uid}.json"


def ended_folder(namespace: str, name: str) -> str:
    return f"{ENDED}/{namespace}/{name}"


def ended_key(namespace: str, name: str, recording_uid: str) -> str:
    return f"{ended_folder(namespace, name)}/{recording_uid}.json"


def request_key(recording_uid: str) -> str:
    return f"{RECORDINGS}/{recording_uid}/request.json"


def finalized_key(recording_uid: str) -> str:
    return f"{RECORDINGS}/{recording_uid}/result.json"


def usage_key() -> str:
    return "usage.json"
