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
from sluice_media.hub.clock import datetime_of
from sluice_media.hub.ring import Entry, Ring
from sluice_media.timeline.framing import Record, encode, encode_unit, track_infos
from sluice_media.units import TICKS_PER_SECOND, AccessUnit, TrackFormat

__all__ = ["OutputTimeline", "Request", "Start"]

_NEAR = TICKS_PER_SECOND // 2
"""A timeline adopted from a map may begin this much behind a reader's position without a loss:
one frame, or an audio frame that came before its picture."""


@dataclass(slots=True, frozen=True)
class Request:
    """Where a reader wants to start; without both, ``whole`` decides."""

    timeline: str | None = None
    dts: int = 0
    """What follows this DTS of ``timeline`` is wanted."""
    since_us: int | None = None
    """Content from the last random access point at or before this moment is wanted."""
    whole: bool = False
    """From the oldest content (a recorder) instead of the newest random access point."""


@dataclass(slots=True, frozen=True)
class Start:
    seq: int
    head: bytes
    """Records that come before the one at ``seq``: format, anchor and, if content is missing,
    gap."""


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
    formats: tuple[TrackFormat, ...] = ()
    _last_us: int = 0
    _format_records: list[tuple[int, bytes]] = field(default_factory=list)
    _anchor_records: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def last_us(self) -> int:
        """Wall clock of the last unit."""
        return self._last_us

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

    def start(self, request: Request) -> Start:
        """Where the reply to ``request`` begins. There is a format by now."""
        if request.timeline == self.id:
            return self._start_behind(request.dts)
        entry: Entry | None
        if request.since_us is not None:
            entry = self.ring.entry_before_utc(request.since_us)
        else:
            entry = self.ring.oldest if request.whole else self.ring.newest
        seq = entry.seq if entry else self.ring.head
        return Start(seq, self._head(seq))

    def seq_for_pin(self, since_us: int, acked_dts: int | None) -> int | None:
        """From where on a Recording needs the ring; None: there is nothing yet."""
        entry = (
            self.ring.entry_before_utc(since_us)
            if acked_dts is None
            else self.ring.entry_before_dts(acked_dts)
        )
        return entry.seq if entry else None

    def _start_behind(self, dts: int) -> Start:
        ring = self.ring
        oldest = ring.oldest
        if oldest is not None and self._has_lost(dts, oldest):
            missing = (oldest.dts - dts) / TICKS_PER_SECOND
            gap = encode(TimelineGap(dts=oldest.dts, wall_seconds=round(missing, 3)))
            return Start(oldest.seq, self._head(oldest.seq) + gap)
        seq = ring.after(dts)
        # What was said between the last unit taken and the next one (a gap!) is wanted as well.
        while seq > ring.first and not ring[seq - 1].is_unit:
            seq -= 1
        return Start(seq, self._head(seq))

    def _has_lost(self, dts: int, oldest: Entry) -> bool:
        if self.ring.trimmed_dts is not None:
            return self.ring.trimmed_dts > dts
        return oldest.dts > dts + _NEAR

    def _head(self, seq: int) -> bytes:
        """Format and anchor in force at ``seq``. The reader is at the very beginning when there
        is none before it: then the first ones are about to come."""
        return b"".join(
            next((data for at, data in reversed(records) if at < seq), b"")
            for records in (self._format_records, self._anchor_records)
        )

    def _remember(self, records: list[tuple[int, bytes]], record: Record) -> None:
        data = encode(record)
        records.append((self.ring.head, data))
        # Of those that have left the ring only the last can still be in force.
        while len(records) > 1 and records[1][0] < self.ring.first:
            records.pop(0)
        self._append(data)

    def _append(self, data: bytes) -> None:
        self.ring.append(data, dts=self.last_dts, utc_us=self._last_us, is_unit=False)
