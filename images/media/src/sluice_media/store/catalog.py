"""Views of recordings: journals, results and the operator's requests, read from the storage."""

from __future__ import annotations

from dataclasses import dataclass, field

from sluice_media.contract import (
    FileState,
    RecordedFile,
    RecordingEndReason,
    ResultState,
    StoredRecording,
    StoredResult,
)
from sluice_media.recording import keys
from sluice_media.recording.journal import Completion, Journal, RecordingHead
from sluice_media.recording.journals import JournalFault, find_journals
from sluice_media.recording.merge import MergedFile, merge
from sluice_media.storage.json_objects import load
from sluice_media.storage.object_store import ObjectStore
from sluice_media.store.chunk_source import ChunkId
from sluice_media.store.finalize import end_of
from sluice_media.store.incomplete import incompleteness
from sluice_media.store.kept import KeptChunks


@dataclass(slots=True)
class RecordingView:
    """One recording as the storage has it."""

    uid: str
    prefix: str
    request: StoredRecording | None = None
    head: RecordingHead | None = None
    done: Completion | None = None
    journals: list[Journal] = field(default_factory=list)
    files: list[MergedFile] = field(default_factory=list)
    results: dict[int, RecordedFile] = field(default_factory=dict)
    """Index of a file -> its result."""
    journal_faults: list[JournalFault] = field(default_factory=list)
    chunks: dict[ChunkId, int] = field(default_factory=dict)
    """Every chunk in the store, named by a journal or not -> its size in bytes."""
    taken_back: int = 0
    """Number of chunks that only the store's own journals name."""
    kept: KeptChunks | None = None
    """The chunks that are in no MP4, once the recording is finished."""

    @property
    def is_over(self) -> bool:
        """True when no recorder will write any more."""
        return self.done is not None or (self.request is not None and self.request.recorder_gone)

    @property
    def is_discarded(self) -> bool:
        return self.done is not None and self.done.end_reason == RecordingEndReason.TOO_SHORT

    @property
    def is_finalized(self) -> bool:
        """True when the result of every file is final."""
        return self.is_over and all(map(self._is_final, self.recorded_files()))

    @property
    def may_grow(self) -> bool:
        """True while a known recorder may still write."""
        return not self.is_over and (self.head is not None or self.request is not None)

    def recorded_files(self) -> list[MergedFile]:
        """Return the files that have content in the store."""
        return [file for file in self.files if file.chunks]

    def unfinished_files(self) -> list[MergedFile]:
        """Return the files to finalise, or to discard, now."""
        return [
            file
            for file in self.recorded_files()
            if (file.closed or self.is_over) and not self._is_final(file)
        ]

    def state(self) -> ResultState:
        if self.head is None and not self.journals:
            return ResultState.DONE if self.is_over else ResultState.UNKNOWN
        if not self.is_over:
            return ResultState.OPEN
        if self.is_finalized:
            return ResultState.DONE
        failed = any(result.state == FileState.FAILED for result in self.results.values())
        return ResultState.FAILED if failed else ResultState.FINALIZING

    def chunk_keys(self, file: MergedFile) -> list[str]:
        """Return the keys of all chunks of a file that journals name, including duplicates of
        other attempts' chunks."""
        identity = (file.timeline, file.first_dts)
        return [
            keys.chunk_key(self.prefix, journal.attempt, chunk.name)
            for journal in self.journals
            for entry in journal.files
            if (entry.timeline, entry.first_dts) == identity
            for chunk in entry.chunks
        ]

    def result(self) -> StoredResult:
        files = [self._file(file) for file in self.recorded_files()]
        failed = [file.message for file in files if file.state == FileState.FAILED]
        end_reason = self.done.end_reason if self.done else None
        if end_reason is None and self.is_over:
            end_reason = RecordingEndReason.RECORDER_LOST
        return StoredResult(
            uid=self.uid,
            state=self.state(),
            files=files,
            end_reason=end_reason,
            recording_started_at=self.files[0].started_at if self.files else None,
            message=failed[0] if failed else None,
            **incompleteness(files, self.journal_faults, self.taken_back, self.kept),
        )

    def _is_final(self, file: MergedFile) -> bool:
        result = self.results.get(file.index)
        if result is None:
            return False
        if self.is_discarded:
            return result.state == FileState.DISCARDED
        return result.state in (FileState.READY, FileState.EXPIRED) or result.final

    def _file(self, file: MergedFile) -> RecordedFile:
        if file.index in self.results:
            return self.results[file.index]
        over = file.closed or self.is_over
        return RecordedFile(
            index=file.index,
            name=keys.mp4_name(self.uid, file.index),
            state=FileState.FINALIZING if over else FileState.RECORDING,
            started_at=file.started_at,
            ended_at=end_of(file) if over else None,
            duration_seconds=round(file.duration_seconds, 3),
            gaps=[gap.public() for gap in file.gaps],
            end_reason=file.end_reason,
        )


async def recording_uids(storage: ObjectStore) -> list[str]:
    """Return the uids of all recordings in the store. Raises StorageError."""
    return [uid for uid in await storage.folders(keys.RECORDINGS) if keys.is_id(uid)]


async def load_request(storage: ObjectStore, uid: str) -> StoredRecording | None:
    return await load(storage, keys.request_key(uid), StoredRecording)


async def load_finalized(storage: ObjectStore, uid: str) -> StoredResult | None:
    """Return the result of a finished recording; None while it is not finished."""
    return await load(storage, keys.finalized_key(uid), StoredResult)


async def load_view(storage: ObjectStore, uid: str) -> RecordingView:
    """Read one recording. Raises StorageError."""
    request = await load_request(storage, uid)
    prefix = request.prefix if request is not None else f"{keys.RECORDINGS}/{uid}"
    # Read it before the journals: the recorder writes it last. Read after them, it could end a
    # recording whose last chunks the journals did not name yet.
    done = await load(storage, keys.done_key(prefix), Completion)
    found = await find_journals(storage, prefix)
    head = await load(storage, keys.head_key(prefix), RecordingHead)
    view = RecordingView(
        uid=uid,
        prefix=prefix,
        request=request or _by_the_recorder(uid, prefix, head),
        head=head,
        done=done,
        journals=found.journals,
        files=merge(found.journals),
        journal_faults=found.faults,
        chunks=found.chunks,
        taken_back=found.taken_back,
    )
    for file in view.files:
        result = await load(storage, keys.result_key(prefix, file.index), RecordedFile)
        if result is not None:
            view.results[file.index] = result
    return view


def _by_the_recorder(uid: str, prefix: str, head: RecordingHead | None) -> StoredRecording | None:
    """Return the request that the recorder's configuration implies, before the operator's one."""
    if head is None:
        return None
    return StoredRecording(uid=uid, name=head.name, prefix=prefix, **head.retention.model_dump())
