"""One session's output: an append-only sequence of records, and where a reader starts in it.

In: output units and what happens between them. Out: records in a :class:`Ring`, and for each new
reader a place in it with the records that stand at the head of its reply.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sluice_media.contract import (
    TimelineAnchor,
    TimelineEnd,
    TimelineFormat,
    TimelineGap,
)
from sluice_media.formats.units import TICKS_PER_SECOND, AccessUnit, TrackFormat
from sluice_media.hub.clock import datetime_of
from sluice_media.hub.output.ring import KEEP_SECONDS, Entry, Ring
from sluice_media.hub.spool.session import Place, SpooledSession, end_dts, gap_to
from sluice_media.timeline.framing import Record, encode, encode_unit, track_infos

_NEAR = TICKS_PER_SECOND // 2
"""A timeline adopted from a map may begin this much behind a reader's position without a loss:
one frame, or an audio frame that came before its picture."""

RECENT_TICKS = int(KEEP_SECONDS) * TICKS_PER_SECOND
"""Who is no recorder gets nothing older back, though the disk may have it."""


@dataclass(slots=True, frozen=True)
class Request:
    """Where a reader wants to start; without both, ``whole`` decides."""

    timeline: str | None = None
    dts: int = 0
    """What follows this DTS of ``timeline`` is wanted."""
    held_until_us: int | None = None
    """When what the reader has last came in, at whichever hub."""
    since_us: int | None = None
    """Content from the last random access point at or before this moment is wanted."""
    whole: bool = False
    """From the oldest content (a recorder) instead of the newest random access point."""
    recorder: bool = False
    """What only the disk has is for recorders."""
    session_us: int | None = None
    """Only the session that began then is wanted, from its beginning."""


@dataclass(slots=True, frozen=True)
class Start:
    seq: int
    head: bytes
    """Records that come before the one at ``seq``: format, anchor and, if content is missing,
    gap."""
    place: Place | None = None
    """Set: the record is in the spool, and so is its head."""


@dataclass(slots=True)
class OutputTimeline:
    id: str
    epoch: int
    stream_uid: str
    title: str
    started_us: int
    last_dts: int
    """DTS of the last unit that went out; at first, where the timeline begins."""
    ring: Ring = field(default_factory=Ring)
    ended: bool = False
    auto: bool = False
    """Its content began while ``autoRecord`` was on."""
    settled: bool = False
    """It ended, and every recorder that wanted it holds all of it."""
    spooled: SpooledSession | None = None
    """What of it is on disk; None: it is not to be there."""
    formats: tuple[TrackFormat, ...] = ()
    _last_us: int = 0
    _format_records: list[tuple[int, bytes]] = field(default_factory=list)
    _anchor_records: list[tuple[int, bytes]] = field(default_factory=list)
    _track_ends: dict[int, int] = field(default_factory=dict)
    """By track, the DTS of its last unit."""

    @property
    def end_dts(self) -> int | None:
        """What a recorder that holds all of it has acknowledged at least."""
        return end_dts(self._track_ends.values())

    @classmethod
    def restored(cls, spooled: SpooledSession) -> OutputTimeline:
        """A timeline of which an earlier process left the spool."""
        progress = spooled.progress
        last_dts = progress.max_dts or 0
        timeline = cls(
            spooled.timeline,
            spooled.epoch,
            spooled.stream_uid,
            spooled.title,
            spooled.started_us,
            last_dts,
            Ring(first=progress.next_seq - progress.ended, trimmed_dts=last_dts),
            ended=progress.ended,
            auto=spooled.auto,
            spooled=spooled,
        )
        timeline._last_us = progress.last_us
        if progress.ended:
            # Who has all but the end gets it from here.
            timeline._append(progress.end)
        timeline._track_ends = {track: end.dts for track, end in progress.tracks.items()}
        timeline._format_records.append((progress.next_seq - 1, progress.format))
        timeline._anchor_records.append((progress.next_seq - 1, progress.anchor))
        return timeline

    @property
    def last_us(self) -> int:
        """Wall clock of the last unit."""
        return self._last_us

    def goes_on(self, epoch: int, title: str) -> None:
        """A restored timeline lives on in this process."""
        self.epoch, self.title = epoch, title
        if self.spooled is not None:
            self.spooled.epoch, self.spooled.title = epoch, title

    def record_by_itself(self) -> None:
        """``autoRecord`` is on: the session is to be recorded, from what is there of it."""
        self.auto = True
        if self.spooled is not None:
            self.spooled.auto = True

    def append_formats(self, formats: tuple[TrackFormat, ...]) -> None:
        self.formats = formats
        record = TimelineFormat(
            timeline=self.id,
            epoch=self.epoch,
            stream_uid=self.stream_uid,
            title=self.title,
            session_started_at=datetime_of(self.started_us),
            tracks=track_infos(formats),
        )
        self._remember(self._format_records, record)

    def append_gap(self, dts: int, wall_seconds: float) -> None:
        """Media is missing between what is there and the unit at ``dts``, which follows."""
        self._append(encode(TimelineGap(dts=dts, wall_seconds=max(0.0, round(wall_seconds, 3)))))

    def append_anchor(self, dts: int, utc_us: int) -> None:
        """From the unit at ``dts``, which follows, media time and wall clock belong together
        like this."""
        self._remember(self._anchor_records, TimelineAnchor(dts=dts, utc=datetime_of(utc_us)))

    def append_unit(self, unit: AccessUnit) -> None:
        self.last_dts, self._last_us = unit.dts, unit.utc_us
        self._track_ends[unit.track] = unit.dts
        self.ring.append(
            encode_unit(unit),
            dts=unit.dts,
            utc_us=unit.utc_us,
            is_unit=True,
            is_entry=unit.is_random_access,
        )

    def append_end(self, reason: str, finished_us: int) -> None:
        self._append(encode(TimelineEnd(reason=reason, finished_at=datetime_of(finished_us))))
        self.ended = True

    def release(self) -> None:
        """Lets go what the ring holds, but for the end: who has all the rest asks for it."""
        self.ring.release(self.ring.head - self.ended)

    def start(self, request: Request) -> Start:
        """Where the reply to ``request`` begins. There is a format by now."""
        if request.timeline == self.id:
            return self._start_behind(request)
        place = self._old_place(request)
        if place is not None and place.seq < self.ring.first:
            return Start(place.seq, b"", place)
        entry: Entry | None
        if request.session_us is not None:
            return self._start_of_session()
        if request.since_us is not None:
            entry = self.ring.entry_before_utc(request.since_us)
        else:
            entry = self.ring.oldest if request.whole else self.ring.newest
        seq = entry.seq if entry else self.ring.head
        return Start(seq, self.head(seq))

    def behind_hole(self, dts: int) -> Start:
        """The oldest content in the ring, for a reader that holds everything up to ``dts`` and
        nothing of what came between."""
        oldest = self.ring.oldest
        if oldest is None:
            return Start(self.ring.first, b"")
        return Start(oldest.seq, self.head(oldest.seq) + gap_to(oldest, dts))

    def holds_content(self) -> bool:
        """Whether there is anything for a reader to begin with."""
        on_disk = self.spooled is not None and self.spooled.first_place() is not None
        return on_disk or self.ring.oldest is not None

    def spool(self) -> None:
        """From now on its records are to go to the disk too, from the oldest one on."""
        ring = self.ring
        self.spooled = SpooledSession(
            timeline=self.id,
            epoch=self.epoch,
            stream_uid=self.stream_uid,
            title=self.title,
            started_us=self.started_us,
            origin_seq=ring.first,
            before_dts=ring.trimmed_dts,
            auto=self.auto,
        )
        self.spool_from_ring(self.spooled)

    def spool_from_ring(self, spooled: SpooledSession) -> None:
        """The next record for the disk is the oldest of the ring: what was before it is gone."""
        ring = self.ring
        if ring.trimmed_dts is not None:
            spooled.skip_to(ring.first, ring.trimmed_dts)
        progress = spooled.progress
        progress.format = _in_force(self._format_records, ring.first)
        progress.anchor = _in_force(self._anchor_records, ring.first)

    def seq_for_pin(self, since_us: int, acked_dts: int | None) -> int | None:
        """From where on a Recording needs the ring; None: there is nothing yet."""
        entry = (
            self.ring.entry_before_utc(since_us)
            if acked_dts is None
            else self.ring.entry_before_dts(acked_dts)
        )
        return entry.seq if entry else None

    def _old_place(self, request: Request) -> Place | None:
        """Where in the spool a reader begins that asks for a session or a moment."""
        spooled = self.spooled
        if spooled is None or not (request.recorder or request.session_us is not None):
            return None
        if request.session_us is not None:
            return spooled.first_place()
        if request.since_us is None:
            return None
        oldest = self.ring.oldest
        if oldest is not None and oldest.utc_us <= request.since_us:
            return None
        return spooled.place_before_utc(request.since_us) or spooled.first_place(request.since_us)

    def _start_of_session(self) -> Start:
        """The oldest content in the ring, behind a gap when it is not the session's beginning."""
        oldest = self.ring.oldest
        if oldest is None:
            return Start(self.ring.head, self.head(self.ring.head))
        head = self.head(oldest.seq)
        if self.ring.trimmed_dts is not None:
            missing = max(0, oldest.utc_us - self.started_us) / 1_000_000
            head += encode(TimelineGap(dts=oldest.dts, wall_seconds=round(missing, 3)))
        return Start(oldest.seq, head)

    def _start_behind(self, request: Request) -> Start:
        ring, dts = self.ring, request.dts
        oldest = ring.oldest
        if ring.trimmed_dts is not None and ring.trimmed_dts > dts:
            recent = self.last_dts - dts <= RECENT_TICKS
            if self.spooled is not None and (request.recorder or recent):
                place = self.spooled.place_behind(dts)
                if place is not None and place.seq < ring.first:
                    return Start(place.seq, b"", place)
        if oldest is not None and self._has_lost(dts, oldest):
            return Start(oldest.seq, self.head(oldest.seq) + gap_to(oldest, dts))
        seq = ring.after(dts)
        # What was said between the last unit taken and the next one (a gap!) is wanted as well.
        while seq > ring.first and not ring[seq - 1].is_unit:
            seq -= 1
        return Start(seq, self.head(seq))

    def _has_lost(self, dts: int, oldest: Entry) -> bool:
        if self.ring.trimmed_dts is not None:
            return self.ring.trimmed_dts > dts
        return oldest.dts > dts + _NEAR

    def head(self, seq: int) -> bytes:
        """Format and anchor in force at ``seq``. The reader is at the very beginning when there
        is none before it: then the first ones are about to come."""
        return _in_force(self._format_records, seq) + _in_force(self._anchor_records, seq)

    def _remember(self, records: list[tuple[int, bytes]], record: Record) -> None:
        data = encode(record)
        records.append((self.ring.head, data))
        # Of those that have left the ring only the last can still be in force.
        while len(records) > 1 and records[1][0] < self.ring.first:
            records.pop(0)
        self._append(data)

    def _append(self, data: bytes) -> None:
        self.ring.append(data, dts=self.last_dts, utc_us=self._last_us, is_unit=False)


def _in_force(records: list[tuple[int, bytes]], seq: int) -> bytes:
    return next((data for at, data in reversed(records) if at < seq), b"")
