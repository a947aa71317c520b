"""What :mod:`.machine` is told of a Recording, and what it wants done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice_media.contract import RecorderConfig, TimelineFormat
from sluice_media.formats.units import AccessUnit
from sluice_media.record.plan import PlannedFile

LARGEST_OBJECT_BYTES = 128 << 30
"""In a bucket, where an MP4 has 10,000 parts of 16 MiB. Some of them are for its index and for what
comes until the next random access."""


@dataclass(slots=True, frozen=True)
class Rules:
    created_at: datetime
    stream_uid: str = ""
    minimum_seconds: float = 10
    rearm_seconds: float = 3600
    resume_window_seconds: float = 10
    split_seconds: float = 14_400
    """A file so long ends at the next random access point."""
    split_bytes: float = math.inf
    """So does a file whose units have so many bytes."""
    max_duration_seconds: float | None = None
    """So much media in all files ends the Recording."""
    session_started_at: datetime | None = None
    """Set: the Recording is of this one session, and ends with it."""

    def rearms_until(self, ended_at: datetime) -> datetime:
        """When nobody need come back any more, after a file that ended then."""
        for_seconds = self.rearm_seconds if self.session_started_at is None else 0.0
        return ended_at + timedelta(seconds=for_seconds)

    def forbid(self, form: TimelineFormat) -> bool:
        """Return whether nothing of this format may be in the Recording: a stream that was deleted
        and made anew under the same name is another stream, and a Recording of one session takes
        nothing of another one."""
        if self.stream_uid and form.stream_uid != self.stream_uid:
            return True
        return not self.is_its_session(form.session_started_at)

    def is_its_session(self, started_at: datetime) -> bool:
        """Whether content of the session that began then may be in the Recording. Who passes a
        session on may know whole seconds only."""
        wanted = self.session_started_at
        return wanted is None or abs((started_at - wanted).total_seconds()) < 1.0


def rules_of(config: RecorderConfig, before: Rules | None = None) -> Rules:
    """``before``: the rules until now; a stream that is gone keeps its uid."""
    stream = config.stream
    window = stream.resume_window_seconds if stream else 0
    return Rules(
        created_at=config.created_at,
        stream_uid=stream.uid if stream else (before.stream_uid if before else ""),
        minimum_seconds=config.minimum_seconds,
        rearm_seconds=config.rearm_seconds,
        resume_window_seconds=window,
        split_seconds=config.split_seconds,
        split_bytes=LARGEST_OBJECT_BYTES if config.s3 is not None else math.inf,
        max_duration_seconds=config.max_duration_seconds,
        session_started_at=config.session_started_at,
    )


@dataclass(slots=True, frozen=True)
class BeginFile:
    file: PlannedFile


@dataclass(slots=True, frozen=True)
class Write:
    file: PlannedFile
    units: Sequence[AccessUnit]
    """One or more."""


@dataclass(slots=True, frozen=True)
class Changed:
    """Gaps, anchors or (``tracks``) the tracks of a running file are other than before."""

    file: PlannedFile
    tracks: bool = False


@dataclass(slots=True, frozen=True)
class EndFile:
    file: PlannedFile


@dataclass(slots=True, frozen=True)
class StopNoted:
    at: datetime


@dataclass(slots=True, frozen=True)
class Finish:
    reason: str
    """As in :class:`~sluice_media.recording.journal.Completion`."""


Effect = BeginFile | Write | Changed | EndFile | StopNoted | Finish
