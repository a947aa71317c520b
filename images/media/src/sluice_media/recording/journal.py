"""What a recorder writes down beside its chunks, and how the store reads it back.

Each attempt (one start of the recorder) keeps a journal of its own, in segments: the last one is
rewritten whenever a chunk has arrived in the store, so what a journal names is there
(:mod:`.segments`). All times of media are ticks of 90 kHz on the hub's unwrapped timeline, all
moments are UTC.
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
    """``last_dts`` and the duration of that unit, as far as it is known."""


class ChunkEntry(Model):
    """One chunk: a whole number of units as MPEG-TS, tables in front."""

    name: str
    """File name below the attempt's folder."""
    first_dts: int
    """The smallest DTS in it."""
    end_dts: int
    size_bytes: int
    sha256: str
    independent: bool
    """It begins with a random access point."""
    last_utc: datetime
    """When its last unit reached Sluice."""
    tracks: dict[int, TrackSpan]
    runs: list[tuple[int, int]] = Field(default_factory=list)
    """Where it has media, from DTS to DTS, if there is a hole in it."""

    @property
    def media(self) -> list[tuple[int, int]]:
        """Where it has media, from DTS to DTS."""
        return self.runs or [(self.first_dts, self.end_dts)]


class GapEntry(Model):
    """Media is missing before ``dts``."""

    dts: int
    from_dts: int | None = None
    """Where it begins, if only one track is missing and the others go on."""
    at_seconds: float
    """Position in the media of the file, which has no holes."""
    wall_seconds: float

    @property
    def at_dts(self) -> int:
        return self.dts if self.from_dts is None else self.from_dts

    def placed(self, media: MediaTime) -> GapEntry:
        """Return the same gap at its position in ``media``."""
        at_seconds = round(media.before(self.at_dts) / TICKS_PER_SECOND, 3)
        return self.model_copy(update={"at_seconds": at_seconds})

    def public(self) -> Gap:
        return Gap(at_seconds=self.at_seconds, wall_seconds=self.wall_seconds)


class FileEntry(Model):
    """One file of a Recording, as one attempt saw it. ``timeline`` and ``first_dts`` identify it:
    an attempt that continues a file copies its head. Chunks, gaps and anchors are in dts order."""

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
    """When the attempt began."""
    files: list[FileEntry] = Field(default_factory=list)
    stop_requested_at: datetime | None = None
    written_at: datetime | None = None
    """By the attempt's clock; rewritten now and then although nothing is new, as a sign of life."""


def named_chunks(journals: Iterable[Journal]) -> set[tuple[str, str]]:
    """(attempt, name) of each chunk that these journals name."""
    return {(j.attempt, chunk.name) for j in journals for file in j.files for chunk in file.chunks}


class JournalDamagedError(ValueError):
    """The bytes are not those of a journal that was written."""


def sealed(journal: Journal) -> bytes:
    """The journal as JSON with the SHA-256 of all that is before it as its last member."""
    body = journal.to_json().encode().removesuffix(b"}")
    return body + b',"seal":"' + hashlib.sha256(body).hexdigest().encode() + b'"}'


def unsealed(data: bytes) -> Journal:
    """Read a journal back. One without a seal was written by a former version.

    Raises JournalDamagedError."""
    seal = _SEAL.search(data)
    if seal is not None and hashlib.sha256(data[: seal.start()]).hexdigest() != seal[1].decode():
        raise JournalDamagedError("the journal is not what was written")
    try:
        return Journal.model_validate_json(data)
    except ValidationError as broken:
        raise JournalDamagedError("this is no journal") from broken


class RecordingHead(Model):
    """``<prefix>/recording.json``: all that the store needs to finish without anybody."""

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
    """As it was when this was written; what the store was told itself is newer."""


class Completion(Model):
    """``<prefix>/done.json``: the recorder's last word. Written after everything else."""

    end_reason: str
    """Stopped, StreamEnded, TooShort, MaxDurationReached, StorageLimit or NoSpace."""
    at: datetime
    recording_started_at: datetime | None = None
    duration_seconds: float = 0.0
    files: int = 0


def recording_head(config: RecorderConfig, before: RecordingHead | None) -> RecordingHead:
    """The head as the configuration has it; a stream that is gone keeps its former name."""
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
