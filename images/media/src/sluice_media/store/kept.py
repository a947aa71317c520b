"""Chunks that are in no MP4: they are kept for some time, and never deleted unseen.

A chunk is in no MP4 when no journal that can be read names it, when it is damaged, or when another
attempt's chunks hold its units already. At the end of a recording a marker lists such chunks with
the moment; they go after ``originalSeconds``, and not before seven days (:mod:`.retention`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime

import structlog

from sluice_media.contract import Model, RecordedFile
from sluice_media.record.journal import Journal, named_chunks
from sluice_media.store import keys
from sluice_media.store.chunk_source import ChunkId
from sluice_media.store.target import MissingObjectError, Target

__all__ = ["KeptChunks", "Manifest", "find_unnamed"]

_log = structlog.get_logger(__name__)


class Manifest(Model):
    """``<prefix>/files/<file>.chunks.json``: what an MP4 holds, written when that was verified."""

    chunks: list[ChunkId]
    made: RecordedFile
    """What is known of the MP4: once its chunks go, it cannot be made again."""

    def keys(self, prefix: str) -> list[str]:
        return [keys.chunk_key(prefix, attempt, name) for attempt, name in self.chunks]


class KeptChunks(Model):
    """``<prefix>/kept.json``"""

    since: datetime
    chunks: list[ChunkId]
    unnamed: int
    """How many of them no journal names."""
    damaged_manifests: int = 0
    """How many manifests cannot be read: all chunks of their files are kept."""


async def find_unnamed(
    target: Target,
    prefix: str,
    journals: Sequence[Journal],
    chunks: Collection[tuple[ChunkId, int]],
) -> list[ChunkId]:
    """Those of ``chunks`` (with their sizes) that no journal names. Not among them is a copy: a
    recorder that died before it could name a chunk leaves one, and its successor stored the same
    bytes again. Raises TargetError."""
    named = named_chunks(journals)
    entries = (chunk for j in journals for file in j.files for chunk in file.chunks)
    digests = {(chunk.size_bytes, chunk.sha256) for chunk in entries if chunk.sha256}
    sizes = {size for size, _ in digests}
    unnamed = []
    for chunk, size in chunks:
        if chunk in named:
            continue
        if size in sizes and (size, await _digest(target, prefix, chunk)) in digests:
            continue
        _log.warning("chunk_in_no_journal", attempt=chunk[0], chunk=chunk[1], size_bytes=size)
        unnamed.append(chunk)
    return unnamed


async def _digest(target: Target, prefix: str, chunk: ChunkId) -> str:
    try:
        data = await target.get(keys.chunk_key(prefix, *chunk))
    except MissingObjectError:
        return ""
    return hashlib.sha256(data).hexdigest()
