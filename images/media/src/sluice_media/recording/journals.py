"""Reading of recorders' journals, with a report of damaged and missing segments.

In: the objects below a recording's prefix. Out: one journal for each attempt, the damaged or
missing segments, and all chunks in the store, named by a journal or not.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace

import structlog

from sluice_media.recording.journal import Journal, JournalDamagedError, named_chunks, unsealed
from sluice_media.recording.keys import is_id, journal_key, journal_segment_key, recovered_key
from sluice_media.recording.segments import join
from sluice_media.storage.errors import MissingObjectError
from sluice_media.storage.object_store import ObjectStore

_SEGMENT = re.compile(r"journal-(\d{1,9})\.json")
_log = structlog.get_logger(__name__)


@dataclass(slots=True, frozen=True)
class JournalFault:
    """A part of a journal that cannot be read."""

    attempt: str
    number: int
    """Number of the segment; 0: the journal of a former version, without segments."""
    is_missing: bool
    """True when the segment is missing, False when it is damaged."""


@dataclass(slots=True)
class FoundJournals:
    """The journals and chunks of one recording."""

    journals: list[Journal] = field(default_factory=list)
    """One journal for each attempt with a readable segment."""
    faults: list[JournalFault] = field(default_factory=list)
    chunks: dict[tuple[str, str], int] = field(default_factory=dict)
    """Attempt and name of each chunk in the store -> its size in bytes."""
    taken_back: int = 0
    """Number of chunks that only the store's own journals name."""


@dataclass(slots=True)
class _Attempt:
    segments: set[int] = field(default_factory=set)
    has_whole: bool = False
    has_recovered: bool = False


async def find_journals(storage: ObjectStore, prefix: str) -> FoundJournals:
    """Read all journals of a recording. Raises StorageError."""
    found = FoundJournals()
    attempts: dict[str, _Attempt] = {}
    async for entry in storage.list(prefix):
        attempt, _, name = entry.key.removeprefix(f"{prefix}/").partition("/")
        if not is_id(attempt) or not name or "/" in name:
            continue
        if name.endswith(".ts"):
            found.chunks[attempt, name] = entry.size_bytes
        elif match := _SEGMENT.fullmatch(name):
            attempts.setdefault(attempt, _Attempt()).segments.add(int(match[1]))
        elif entry.key == journal_key(prefix, attempt):
            attempts.setdefault(attempt, _Attempt()).has_whole = True
        elif entry.key == recovered_key(prefix, attempt):
            attempts.setdefault(attempt, _Attempt()).has_recovered = True
    for attempt, has in sorted(attempts.items()):
        parts = await _load_parts(storage, prefix, attempt, has, found.faults)
        recovered: list[Journal] = []
        if has.has_recovered:
            key = recovered_key(prefix, attempt)
            recovered = await _load_part(
                storage, key, JournalFault(attempt, 0, False), found.faults
            )
        # A readable entry of the recorder replaces the store's own entry.
        if (journal := join([*recovered, *parts])) is not None:
            found.journals.append(journal)
            found.taken_back += len(named_chunks(recovered) - named_chunks(parts))
    return found


async def load_journal(storage: ObjectStore, prefix: str, attempt: str) -> Journal | None:
    """Return the joined journal of one attempt that may still write; None when it has none.

    Raises StorageError."""
    segments = []
    for number in itertools.count(1):
        try:
            segments.append(await _load(storage, journal_segment_key(prefix, attempt, number)))
        except MissingObjectError:
            break
        except JournalDamagedError:
            continue
    if not segments:
        try:  # a recorder of a former version wrote it as a whole
            return await _load(storage, journal_key(prefix, attempt))
        except (MissingObjectError, JournalDamagedError):
            return None
    return join(segments)


async def _load_parts(
    storage: ObjectStore, prefix: str, attempt: str, has: _Attempt, faults: list[JournalFault]
) -> list[Journal]:
    if has.segments:
        numbers = range(1, max(has.segments) + 1)
        keys = {number: journal_segment_key(prefix, attempt, number) for number in numbers}
    else:
        keys = {0: journal_key(prefix, attempt)} if has.has_whole else {}
    parts: list[Journal] = []
    for number, key in keys.items():
        parts += await _load_part(storage, key, JournalFault(attempt, number, False), faults)
    return parts


async def _load_part(
    storage: ObjectStore, key: str, fault: JournalFault, faults: list[JournalFault]
) -> list[Journal]:
    """Return one part; when it cannot be read, return none and add the fault."""
    try:
        return [await _load(storage, key)]
    except (MissingObjectError, JournalDamagedError) as error:
        is_missing = isinstance(error, MissingObjectError)
        faults.append(replace(fault, is_missing=is_missing))
        _log.error("journal_not_usable", key=key, missing=is_missing)
        return []


async def _load(storage: ObjectStore, key: str) -> Journal:
    """Read one object. Raises JournalDamagedError and StorageError."""
    return unsealed(await storage.get(key))
