"""The files of a running Recording: recorded units, length, gaps and anchors of each.

Pure bookkeeping for :mod:`.machine`; the caller passes the clock.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from sluice_media.contract import (
    FileEndReason,
    TimelineAnchor,
    TimelineFormat,
    TimelineGap,
    TrackInfo,
)
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit
from sluice_media.record.handover import Handover
from sluice_media.recording.journal import FileEntry, GapEntry
from sluice_media.recording.media_time import HOLE_TICKS, MediaTime
from sluice_media.recording.merge import MergedFile

_ANCHOR_TOLERANCE_SECONDS = 0.5
_AT_A_UNIT = (FileEndReason.SPLIT, FileEndReason.PARAMETERS_CHANGED)
"""End reasons of a file whose successor begins at the next random access."""


def utc_of(unit: AccessUnit) -> datetime:
    return datetime.fromtimestamp(unit.utc_us / 1e6, UTC)


def us_of(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1e6)


def grows(before: list[TrackInfo], after: list[TrackInfo]) -> bool:
    """Return whether ``after`` has all tracks of ``before``, unchanged, and more."""
    kept = {t.track: t for t in after}
    return len(after) > len(before) and all(kept.get(t.track) == t for t in before)


def same_media(before: TimelineFormat | None, after: TimelineFormat) -> bool:
    """Return whether units after a format record belong to the same tracks as those before it."""
    if before is None:
        return False
    return before.timeline == after.timeline and before.tracks == after.tracks


@dataclass(slots=True)
class PlannedFile:
    """One file of a running Recording."""

    index: int
    timeline: str
    first_dts: int
    started_at: datetime
    session_started_at: datetime
    tracks: list[TrackInfo]
    last_dts: dict[int, int] = field(default_factory=dict)
    """Track -> DTS of the last unit taken."""
    end_dts: int = 0
    last_utc_us: int | None = None
    """When the last unit reached Sluice, microseconds since the Unix epoch."""
    gaps: list[GapEntry] = field(default_factory=list)
    anchors: list[TimelineAnchor] = field(default_factory=list)
    ended_at: datetime | None = None
    end_reason: str | None = None
    size_bytes: int = 0
    """Bytes of its units, or of its chunks for the part that an earlier attempt wrote."""
    media: MediaTime = field(default_factory=MediaTime)

    def __post_init__(self) -> None:
        if not self.media.runs:
            self.media.add(self.first_dts, self.end_dts)

    @property
    def duration_seconds(self) -> float:
        """Length of its media, without holes."""
        return self.media.total_ticks / TICKS_PER_SECOND

    @property
    def last_utc(self) -> datetime | None:
        us = self.last_utc_us
        return None if us is None else datetime.fromtimestamp(us / 1e6, UTC)

    @property
    def identity(self) -> tuple[str, int]:
        return self.timeline, self.first_dts

    def take(self, unit: AccessUnit) -> None:
        before = self.last_dts.get(unit.track)
        step = 0 if before is None else unit.dts - before
        # A step over a hole is no frame's duration.
        step = step if step < TICKS_PER_SECOND else 0
        self.last_dts[unit.track] = unit.dts
        end_dts = unit.dts + step
        self.end_dts = max(self.end_dts, end_dts)
        if unit.dts >= self.first_dts:
            self.media.add(unit.dts, end_dts)
        self.last_utc_us = unit.utc_us
        self.size_bytes += len(unit.payload)

    def take_run(
        self,
        records: Sequence[object],
        at: int,
        taken: dict[int, int],
        split_seconds: float,
        split_bytes: float,
    ) -> Sequence[AccessUnit]:
        """Take the units in ``records[at:]`` up to the first record that needs a decision.

        Such a record is not a unit, is a unit that was taken already or lies behind a hole, or
        begins the next file. ``taken`` (track -> DTS of the timeline's last unit) is updated."""
        end = at
        media = self.media
        # Up to the next hole, positions and DTS go together.
        split_dts = self.end_dts - media.before(self.end_dts) + split_seconds * TICKS_PER_SECOND
        for unit in itertools.islice(records, at, None):
            if type(unit) is not AccessUnit:
                break
            dts, track = unit.dts, unit.track
            if dts <= taken.get(track, dts - 1) or media.is_hole(dts):
                break
            is_long = dts >= split_dts or self.size_bytes >= split_bytes
            if is_long and unit.is_random_access:
                break
            taken[track] = dts
            self.take(unit)
            end += 1
        return cast("Sequence[AccessUnit]", records[at:end])

    def splits_at(self, unit: AccessUnit, split_seconds: float, split_bytes: float) -> bool:
        """Return whether the file's length or size makes this random access begin the next one."""
        is_long = self.media.before(unit.dts) >= split_seconds * TICKS_PER_SECOND
        return is_long or self.size_bytes >= split_bytes

    def cut(self, dts: int) -> None:
        """End the file where the next one begins, so that audio behind it is not counted twice."""
        self.end_dts = min(self.end_dts, dts)
        self.media.cut(dts)

    def note_hole(self, unit: AccessUnit) -> bool:
        """Note the hole before a unit, unless the hub sent a gap for it. Return whether noted."""
        if any(self.end_dts < gap.dts <= unit.dts + HOLE_TICKS for gap in self.gaps):
            return False
        hole_seconds = (unit.dts - self.end_dts) / TICKS_PER_SECOND
        wall_seconds = hole_seconds
        if self.last_utc_us is not None:
            wall_seconds = (unit.utc_us - self.last_utc_us) / 1e6
        # A source that leaves something out need not be silent meanwhile.
        missing = wall_seconds if wall_seconds >= 1 else hole_seconds
        return self.note_gap(TimelineGap(dts=unit.dts, wall_seconds=round(missing, 3)))

    def lose(self, gap: TimelineGap) -> bool:
        """Note a gap of media that was recorded and is lost. Return False when it is known."""
        if not self.note_gap(gap):
            return False
        self.media.remove(gap.dts - round(gap.wall_seconds * TICKS_PER_SECOND), gap.dts)
        self.media.add(self.end_dts, self.end_dts)  # the next unit need not say that again
        self.gaps = [known.placed(self.media) for known in self.gaps]
        return True

    def note_gap(self, gap: TimelineGap, from_dts: int | None = None) -> bool:
        """Note a gap. Return False when it is known, or lies before the file.

        ``from_dts`` is the begin of a gap in one track while other tracks continue."""
        if gap.dts <= self.first_dts or any(g.dts == gap.dts for g in self.gaps):
            return False
        entry = GapEntry(
            dts=gap.dts, from_dts=from_dts, at_seconds=0, wall_seconds=gap.wall_seconds
        )
        self.gaps.append(entry.placed(self.media))
        return True

    def note_missing(self, handover: Handover, dts: int | None = None) -> bool:
        """Note the gap of units that neither this file nor the next one has. Return False when
        there is none. ``dts`` is the start of the next file; None: there is none."""
        end_dts = max(self.end_dts, handover.missing_to) if dts is None else dts
        gap = handover.gap(end_dts)
        return gap is not None and self.note_gap(gap, handover.missing_from)

    def note_anchor(self, anchor: TimelineAnchor) -> bool:
        """Note an anchor. Return False when it agrees with the last one, as after a reconnect."""
        if self.anchors:
            last = self.anchors[-1]
            media = (anchor.dts - last.dts) / TICKS_PER_SECOND
            wall = (anchor.utc - last.utc).total_seconds()
            if anchor.dts <= last.dts or abs(media - wall) < _ANCHOR_TOLERANCE_SECONDS:
                return False
        self.anchors.append(anchor)
        return True

    def entry(self) -> FileEntry:
        """Return the file's journal entry, without chunks."""
        return FileEntry(
            index=self.index,
            timeline=self.timeline,
            first_dts=self.first_dts,
            started_at=self.started_at,
            session_started_at=self.session_started_at,
            tracks=self.tracks,
            gaps=list(self.gaps),
            anchors=list(self.anchors),
            closed=self.end_reason is not None,
            ended_at=self.ended_at,
            end_reason=self.end_reason,
        )


def begin_file(index: int, form: TimelineFormat, unit: AccessUnit) -> PlannedFile:
    """Return a file that begins with this unit, which is not taken yet."""
    file = PlannedFile(
        index=index,
        timeline=form.timeline,
        first_dts=unit.dts,
        started_at=utc_of(unit),
        session_started_at=form.session_started_at,
        tracks=list(form.tracks),
        end_dts=unit.dts,
    )
    file.note_anchor(TimelineAnchor(dts=unit.dts, utc=file.started_at))
    return file


@dataclass(slots=True)
class Restored:
    """The state that earlier attempts left."""

    files: list[PlannedFile] = field(default_factory=list)
    """The closed files, and then the one to be continued."""
    unclosed: list[PlannedFile] = field(default_factory=list)
    """Files that have ended, but have no end in a journal yet."""
    stop_requested_at: datetime | None = None

    @property
    def open_file(self) -> PlannedFile | None:
        return self.files[-1] if self.files and self.files[-1].end_reason is None else None


def restore(merged: Iterable[MergedFile], stop_requested_at: datetime | None) -> Restored:
    """Return the files of earlier attempts. Only the newest can be open: an open file before it
    was ended by its successor."""
    files = []
    for file in merged:
        planned = PlannedFile(
            index=file.index,
            timeline=file.timeline,
            first_dts=file.first_dts,
            started_at=file.started_at,
            session_started_at=file.session_started_at,
            tracks=list(file.tracks),
            last_dts=dict(file.taken),
            end_dts=file.end_dts,
            last_utc_us=us_of(file.last_utc),
            gaps=list(file.gaps),
            anchors=list(file.anchors),
            size_bytes=file.size_bytes,
            media=file.media,
        )
        if file.closed:
            planned.ended_at = file.ended_at or file.last_utc
            planned.end_reason = file.end_reason or FileEndReason.SESSION_ENDED
        files.append(planned)
    unclosed = []
    for before, after in itertools.pairwise(files):
        if before.end_reason is None:
            before.ended_at = before.last_utc
            before.end_reason = _reason_between(before, after)
            unclosed.append(before)
        if before.end_reason in _AT_A_UNIT and before.timeline == after.timeline:
            before.cut(after.first_dts)
    return Restored(files, unclosed, stop_requested_at)


def _reason_between(before: PlannedFile, after: PlannedFile) -> str:
    if before.session_started_at != after.session_started_at:
        return FileEndReason.SESSION_ENDED
    if before.timeline != after.timeline:
        return FileEndReason.TIMELINE_LOST
    return (
        FileEndReason.SPLIT if before.tracks == after.tracks else FileEndReason.PARAMETERS_CHANGED
    )
