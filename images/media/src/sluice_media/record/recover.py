"""Recovery of earlier attempts: their journals in the store, and chunks in this pod's spool.

A recorder that crashed leaves its open chunk, and chunks that are not stored yet, in the spool. The
next attempt adopts them into its own folder and journal. An attempt never writes into the folder
of another one, so that two recorders of one Recording cannot conflict.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from sluice_media.record.chunks import ClosedChunk, index_path, read_spooled
from sluice_media.recording.journal import (
    ChunkEntry,
    Completion,
    FileEntry,
    Journal,
    RecordingHead,
    named_chunks,
)
from sluice_media.recording.journals import find_journals
from sluice_media.recording.keys import chunk_name, done_key, head_key
from sluice_media.recording.merge import MergedFile, in_order, merge
from sluice_media.storage.json_objects import load
from sluice_media.storage.object_store import ObjectStore

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Recovered:
    """The state that earlier attempts left in the store and in the spool."""

    head: RecordingHead | None = None
    done: Completion | None = None
    merged: list[MergedFile] = field(default_factory=list)
    """Files merged from the store and the spool."""
    adopted: list[ClosedChunk] = field(default_factory=list)
    """Chunks for this attempt to store, in order; they are in its own spool folder."""
    stop_requested_at: datetime | None = None
    store_is_away: bool = False
    """True when the journals are from this pod's ledger, because the store did not answer."""
    journals: list[Journal] = field(default_factory=list)
    """Journals of all attempts that have one."""

    @property
    def attempts_began(self) -> list[datetime]:
        return [journal.started_at for journal in self.journals]


async def recover(storage: ObjectStore, prefix: str, spool: Path, attempt: str) -> Recovered:
    """Read the state of earlier attempts, and move their chunks into ``spool/<attempt>``.

    Raises StorageError and OSError."""
    found = Recovered()
    # A damaged object counts as missing: the recorder still has media to store, and rewrites it.
    found.done = await load(storage, done_key(prefix), Completion)
    found.head = await load(storage, head_key(prefix), RecordingHead)
    journals = (await find_journals(storage, prefix)).journals
    found.adopted = adopt(spool, attempt, named_chunks(journals))
    found.merged = merge([*journals, *_as_journals(found.adopted, attempt, journals)])
    stops = [j.stop_requested_at for j in journals if j.stop_requested_at is not None]
    found.stop_requested_at = min(stops, default=None)
    found.journals = journals
    return found


def adopt(spool: Path, attempt: str, stored: set[tuple[str, str]]) -> list[ClosedChunk]:
    """Move the chunks that other attempts of this pod left into this attempt's folder.

    Chunks in ``stored``, as (attempt, chunk), are in the store already and are deleted here.
    Raises OSError."""
    own = spool / attempt
    own.mkdir(parents=True, exist_ok=True)
    folders = [folder for folder in spool.iterdir() if folder != own and folder.is_dir()]
    adopted: list[ClosedChunk] = []
    for left in _left_in(folders, stored):
        name = chunk_name(left.file.index, len(adopted) + 1)
        # The index goes first, so that there is no moment at which the chunk has none. As a
        # second name, not as a copy: the disk may be full.
        path = own / name
        os.link(index_path(left.path), index_path(path))
        left.path.rename(path)
        entry = left.entry.model_copy(update={"name": name})
        adopted.append(ClosedChunk(path, left.file, entry))
    for folder in folders:
        shutil.rmtree(folder)
    return adopted


def _left_in(folders: list[Path], stored: set[tuple[str, str]]) -> list[ClosedChunk]:
    """Return the chunks in the folders of several attempts, in the order of their units. The
    folders' times cannot be used: two folders may have equal coarse timestamps."""
    left: dict[tuple[str, str], ClosedChunk] = {}
    files: dict[tuple[str, int], tuple[FileEntry, dict[str, list[ChunkEntry]]]] = {}
    for folder in sorted(folders):
        for path in sorted(folder.glob("*.ts"), key=lambda c: c.name.partition("-")[2]):
            if (folder.name, path.name) in stored or (chunk := _read(path)) is None:
                continue
            left[folder.name, path.name] = chunk
            _, attempts = files.setdefault(chunk.file.identity, (chunk.file, {}))
            # An adopted chunk's index still has the name that it was written under.
            entry = chunk.entry.model_copy(update={"name": path.name})
            attempts.setdefault(folder.name, []).append(entry)
    return [
        left[attempt, entry.name]
        for file, attempts in sorted(files.values(), key=lambda f: (f[0].started_at, f[0].index))
        for attempt, entry in in_order(attempts.items())
    ]


def _read(chunk: Path) -> ClosedChunk | None:
    try:
        return read_spooled(chunk)
    except FileNotFoundError as broken:
        _log.error("spooled_chunk_not_usable", chunk=chunk.name, error=type(broken).__name__)
        return None


def _as_journals(
    adopted: list[ClosedChunk], attempt: str, journals: list[Journal]
) -> list[Journal]:
    """Return adopted chunks as a journal, so that they are merged like all others."""
    if not adopted:
        return []
    files: dict[tuple[str, int], tuple[FileEntry, list[ChunkEntry]]] = {}
    for chunk in adopted:
        key = (chunk.file.timeline, chunk.file.first_dts)
        chunks = files[key][1] if key in files else []
        files[key] = (chunk.file, [*chunks, chunk.entry])
    began = max([j.started_at for j in journals] + [c.file.started_at for c in adopted])
    entries = [f.model_copy(update={"chunks": chunks}) for f, chunks in files.values()]
    return [Journal(attempt=attempt, recording_uid="", started_at=began, files=entries)]
