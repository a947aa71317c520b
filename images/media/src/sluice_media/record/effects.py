"""The rules of a Recording (input of :mod:`.machine`) and its effects (output)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sluice_media.contract import RecorderConfig, TimelineFormat
from sluice_media.formats.units import AccessUnit
from sluice_media.record.plan import PlannedFile

LARGEST_OBJECT_BYTES = 128 << 30
"""Maximum size of a file in a bucket, where an MP4 has 10,000 parts of 16 MiB. The rest is for its
index and for the units until the next random access."""


@dataclass(slots=True, frozen=True)
class Rules:
    """The configuration of a Recording, as the machine needs it."""

    created_at: datetime
    stream_uid: str = ""
    minimum_seconds: float = 10
    rearm_seconds: float = 3600
    resume_window_seconds: float = 10
    split_seconds: float = 14_400
    """Length of a file after which it ends at the next random access point."""
    split_bytes: float = math.inf
    """Bytes of a file's units after which it ends at the next random access point."""
    max_duration_seconds: float | None = None
    """Media in all files after which the Recording ends."""
    session_started_at: datetime | None = None
    """Start of the one session that the Recording is for, and with which it ends; None: any."""

    def rearms_until(self, ended_at: datetime) -> datetime:
        """Return until when another session continues the Recording after a file's end."""
        for_seconds = self.rearm_seconds if self.session_started_at is None else 0.0
        return ended_at + timedelta(seconds=for_seconds)

    def forbid(self, form: TimelineFormat) -> bool:
        """Return whether units of this format must not be in the Recording.

        A stream that was deleted and created again under the same name is another stream, and a
        Recording of one session takes no units of another one."""
        if self.stream_uid and form.stream_uid != self.stream_uid:
            return True
        return not self.is_its_session(form.session_started_at)

    def is_its_session(self, started_at: datetime) -> bool:
        """Return whether the Recording is for the session that began at ``started_at``. The
        configured time may have only whole seconds."""
        wanted = self.session_started_at
        return wanted is None or abs((started_at - wanted).total_seconds()) < 1.0


def rules_of(config: RecorderConfig, before: Rules | None = None) -> Rules:
    """Return the rules for a configuration. A deleted stream keeps the uid that it has in
    ``before``, the former rules."""
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
    """Effect: begin a file."""

    file: PlannedFile


@dataclass(slots=True, frozen=True)
class Write:
    """Effect: write one or more units to a file."""

    file: PlannedFile
    units: Sequence[AccessUnit]


@dataclass(slots=True, frozen=True)
class Changed:
    """Effect: note changed gaps or anchors of a running file; with ``tracks``, changed tracks."""

    file: PlannedFile
    tracks: bool = False


@dataclass(slots=True, frozen=True)
class EndFile:
    """Effect: end a file."""

    file: PlannedFile


@dataclass(slots=True, frozen=True)
class StopNoted:
    """Effect: note the user's stop in the journal."""

    at: datetime


@dataclass(slots=True, frozen=True)
class Finish:
    """Effect: finish the Recording."""

    reason: str
    """End reason, as in :class:`~sluice_media.recording.journal.Completion`."""


Effect = BeginFile | Write | Changed | EndFile | StopNoted | Finish
