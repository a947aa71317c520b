"""The JSON objects that a recorder writes beside its chunks.

Each attempt (one start of the recorder) writes its own journal, in segments. The last segment is
rewritten after each stored chunk, so that every chunk in a journal exists (:mod:`.segments`). Media
times are ticks of 90 kHz on the hub's unwrapped timeline; all other times are UTC.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from pydantic import Field, ValidationError

from sluice_media.contract import Gap, Model, RecorderConfig, Retention, TimelineAnchor, TrackInfo
from sluice_media.formats.units import TICKS_PER_SECOND
from sluice_media.recording.media_time import MediaTime

_SEAL = re.compile(rb',"seal":"([0-9a-f]{64})"\}\Z')


class TrackSpan(Model):
    """The units of one track in one chunk."""

    units: int
    first_dts: int
    last_dts: int
    end_dts: int
    """``last_dts`` plus the duration of that unit, if known."""


class ChunkEntry(Model):
    """One chunk: whole units as MPEG-TS, with PAT and PMT at its beginning."""

    name: str
    """File name below the attempt's folder."""
    first_dts: int
    """The smallest DTS in it."""
    end_dts: int
    size_bytes: int
    sha256: str
    independent: bool
    """True when the chunk begins with a random access point."""
    last_utc: datetime
    """Arrival time of its last unit at Sluice."""
    tracks: dict[int, TrackSpan]
    runs: list[tuple[int, int]] = Field(default_factory=list)
    """Ranges of DTS with media, when the chunk has a hole; empty without a hole."""

    @property
    def media(self) -> list[tuple[int, int]]:
        """Ranges of DTS with media."""
        return self.runs or [(self.first_dts, self.end_dts)]


class GapEntry(Model):
    """A gap: media is missing before ``dts``."""

    dts: int
    from_dts: int | None = None
    """Start of the gap, when only one track is missing and the others continue."""
    at_seconds: float
    """Position in the media of the file, which has no holes."""
    wall_seconds: float

    @property
    def at_dts(self) -> int:
        return self.dts if self.from_dts is None else self.from_dts

    def placed(self, media: MediaTime) -> GapEntry:
        """Return this gap with its position in ``media``."""
        at_seconds = round(media.before(self.at_dts) / TICKS_PER_SECOND, 3)
        return self.model_copy(update={"at_seconds": at_seconds})

    def public(self) -> Gap:
        return Gap(at_seconds=self.at_seconds, wall_seconds=self.wall_seconds)


class FileEntry(Model):
    """One file of a Recording in one attempt's journal.

    ``timeline`` and ``first_dts`` identify the file: an attempt that continues it copies its head.
    Chunks, gaps and anchors are in DTS order."""

    index: int
    """From 1; part of the file's name."""
    timeline: str
    first_dts: int
    started_at: datetime
    session_started_at: datetime
    tracks: list[TrackInfo]
    chunks: list[ChunkEntry] = Field(default_factory=list)
    gaps: list[GapEntry] = Field(default_factory=list)
    anchors: list[TimelineAnchor] = Field(default_factory=list)
    closed: bool = False
    ended_at: datetime | None = None
    end_reason: str | None = None

    @property
    def identity(self) -> tuple[str, int]:
        return self.timeline, self.first_dts


class Journal(Model):
    """One segment of an attempt's journal, or all of them put together."""

    attempt: str
    recording_uid: str
    started_at: datetime
    """Start of the attempt."""
    files: list[FileEntry] = Field(default_factory=list)
    stop_requested_at: datetime | None = None
    written_at: datetime | None = None
    """Time of writing by the attempt's clock; also renewed without news, as a sign of life."""


def named_chunks(journals: Iterable[Journal]) -> set[tuple[str, str]]:
    """Return (attempt, name) of all chunks that the journals name."""
    return {(j.attempt, chunk.name) for j in journals for file in j.files for chunk in file.chunks}


class JournalDamagedError(ValueError):
    """The bytes are not a journal as it was written."""


def sealed(journal: Journal) -> bytes:
    """Return the journal as JSON, with the SHA-256 of the preceding bytes as its last member."""
    body = journal.to_json().encode().removesuffix(b"}")
    return body + b',"seal":"' + hashlib.sha256(body).hexdigest().encode() + b'"}'


def unsealed(data: bytes) -> Journal:
    """Read a journal back. One without a seal was written by a former version.

    Raises JournalDamagedError."""
    seal = _SEAL.search(data)
    if seal is not None and hashlib.sha256(data[: seal.start()]).hexdigest() != seal[1].decode():
        raise JournalDamagedError("the journal's digest does not match")
    try:
        return Journal.model_validate_json(data)
    except ValidationError as broken:
        raise JournalDamagedError("the journal cannot be parsed") from broken


class RecordingHead(Model):
    """``<prefix>/recording.json``: all that the store needs to finish the recording by itself."""

    uid: str
    name: str
    namespace: str
    stream_name: str = ""
    stream_uid: str = ""
    stream_title: str = ""
    created_at: datetime
    minimum_seconds: int
    rearm_seconds: int
    desired_state: str
    retention: Retention = Retention()
    """Retention at the time of writing; the operator's request to the store is newer."""


class Completion(Model):
    """``<prefix>/done.json``: the end of the recording, which the recorder writes last."""

    end_reason: str
    """Stopped, StreamEnded, TooShort, MaxDurationReached, StorageLimit or NoSpace."""
    at: datetime
    recording_started_at: datetime | None = None
    duration_seconds: float = 0.0
    files: int = 0


def recording_head(config: RecorderConfig, before: RecordingHead | None) -> RecordingHead:
    """Return the head for the configuration. A stream that was deleted keeps its former name."""
    stream = config.stream
    head = RecordingHead(
        uid=config.uid,
        name=config.name,
        namespace=config.namespace,
        created_at=config.created_at,
        minimum_seconds=config.minimum_seconds,
        rearm_seconds=config.rearm_seconds,
        desired_state=config.desired_state.value,
        retention=config.retention,
    )
    if stream is not None:
        named = {
            "stream_name": stream.name,
            "stream_uid": stream.uid,
            "stream_title": stream.title,
        }
    elif before is not None:
        named = {
            "stream_name": before.stream_name,
            "stream_uid": before.stream_uid,
            "stream_title": before.stream_title,
        }
    else:
        return head
    return head.model_copy(update=named)
