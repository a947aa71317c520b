"""The readers of a hub: how far each has read, what recorders hold durably, who is too slow.

A reader is a place in a ring. What it has not read yet is its queue, bounded in bytes and seconds;
one that stays beyond the bound is dropped alone, and may come back with ``from=``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sluice_media.contract import TimelineAck
from sluice_media.hub.clock import Moment
from sluice_media.hub.output.timeline import OutputTimeline, Request
from sluice_media.hub.spool.session import Place

MAX_BEHIND_BYTES = 16 << 20
MAX_BEHIND_SECONDS = 20.0
GRACE_SECONDS = 2.0
"""A burst (a switch, a replay) may pass the bound for a moment."""
MAX_STUCK_SECONDS = 20.0
"""While it catches up with the past, a reader is not slow as long as it gets on."""
LINGER_SECONDS = 30.0
"""A recorder that broke off still counts for so long: it is about to come back."""
MAX_TIMELINES = 16
"""Whose acknowledgements by one recorder are remembered."""
RECORDER = "recorder"


@dataclass(slots=True, eq=False)
class Reader:
    """One connection."""

    id: str
    role: str
    request: Request
    attached_at: Moment
    timeline: OutputTimeline | None = None
    """None: it waits for a session."""
    seq: int = 0
    """The next record it gets."""
    place: Place | None = None
    """Where that record is in the spool; None: in the ring."""
    _caught_up: bool = False
    _progress_at: float = 0.0
    _over_since: float | None = None

    def __post_init__(self) -> None:
        self._progress_at = self.attached_at.monotonic

    @property
    def behind_bytes(self) -> int:
        if self.timeline is None or self.seq < self.timeline.ring.first:
            return 0
        return self.timeline.ring.bytes_behind(self.seq)

    @property
    def at_head(self) -> bool:
        return self.timeline is None or self.seq >= self.timeline.ring.head

    @property
    def has_ended(self) -> bool:
        """It has got the end of its session."""
        ended = self.timeline is not None and self.timeline.ended
        return ended and self.place is None and self.at_head

    @property
    def reached_dts(self) -> int:
        """DTS of the last record of its timeline that it was sent; where it begins, if none."""
        assert self.timeline is not None
        ring = self.timeline.ring
        if self.at_head:
            return self.timeline.last_dts
        return ring[max(self.seq - 1, ring.first)].dts

    def wait(self) -> None:
        """There is no session yet. Who was there before it gets it from its beginning."""
        if not self.request.whole:
            self.request = replace(self.request, whole=True)

    def begin(self, timeline: OutputTimeline) -> bytes:
        """Takes its place on a timeline; returns the records at the head of the reply."""
        start = timeline.start(self.request)
        self.timeline, self.seq, self.place = timeline, start.seq, start.place
        self._caught_up = self.at_head
        return start.head

    def advanced(self, seq: int, now: Moment) -> None:
        self.seq = seq
        self._progress_at = now.monotonic
        self._caught_up = self._caught_up or self.at_head

    def too_slow(self, now: Moment) -> bool:
        """Whether it is to be dropped; asked regularly."""
        if self.timeline is None or self.at_head:
            self._caught_up, self._over_since = True, None
            return False
        ring = self.timeline.ring
        stuck = now.monotonic - self._progress_at >= MAX_STUCK_SECONDS
        if self.place is not None:
            return stuck
        if self.seq < ring.first:
            return True
        within = (
            ring.bytes_behind(self.seq) <= MAX_BEHIND_BYTES
            and ring.seconds_behind(self.seq) <= MAX_BEHIND_SECONDS
        )
        if within:
            self._caught_up, self._over_since = True, None
            return stuck
        if not self._caught_up:
            return stuck
        if self._over_since is None:
            self._over_since = now.monotonic
        return now.monotonic - self._over_since >= GRACE_SECONDS


@dataclass(slots=True)
class _Held:
    """What one recorder holds."""

    dts: dict[str, int] = field(default_factory=dict)
    """By timeline, the newest ones last."""
    session_us: int | None = None
    """The one session that it asked for."""
    detached_at: float | None = None

    def take(self, ack: TimelineAck) -> None:
        self.dts[ack.timeline] = max(ack.dts, self.dts.pop(ack.timeline, ack.dts))
        while len(self.dts) > MAX_TIMELINES:
            del self.dts[next(iter(self.dts))]


class Readers:
    """Who is attached, and what recorders have acknowledged."""

    def __init__(self) -> None:
        self._attached: list[Reader] = []
        self._held: dict[str, _Held] = {}
        self.expected: frozenset[str] = frozenset()
        """Recorders by name whose acknowledgements count though they are not attached: the last
        ones come after the end of a session."""
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._attached)

    def __iter__(self) -> Iterator[Reader]:
        return iter(tuple(self._attached))

    def attach(self, reader: Reader) -> None:
        self._attached.append(reader)
        if reader.role == RECORDER:
            held = self._held.setdefault(reader.id, _Held())
            held.detached_at = None
            held.session_us = reader.request.session_us

    def detach(self, reader: Reader, now: Moment) -> None:
        if reader not in self._attached:
            return
        self._attached.remove(reader)
        same = any(other.id == reader.id for other in self._attached)
        if reader.id in self._held and not same:
            self._held[reader.id].detached_at = now.monotonic

    def acknowledge(self, ack: TimelineAck, now: Moment | None = None) -> bool:
        """Notes what a recorder holds. False: no recorder of that name is known."""
        held = self._held.get(ack.reader)
        if held is None:
            if now is None or ack.reader not in self.expected:
                return False
            held = self._held[ack.reader] = _Held(detached_at=now.monotonic)
        held.take(ack)
        return True

    def acked_dts(self, timeline: str, started_us: int | None = None) -> int | None:
        """Output DTS up to which *every* recorder holds the timeline; None: no recorder, or one
        that holds nothing yet. Those that read another session do not count."""
        held = [held.dts.get(timeline) for held in self._holders(started_us)]
        known = [dts for dts in held if dts is not None]
        return min(known) if known and len(known) == len(held) else None

    def has_recorders(self, started_us: int) -> bool:
        """Whether a recorder is attached, or was just now, that reads the session of that
        beginning."""
        return bool(self._holders(started_us))

    def _holders(self, started_us: int | None) -> list[_Held]:
        return [
            held
            for held in self._held.values()
            if held.session_us is None or started_us is None or held.session_us == started_us
        ]

    def acked_by(self, reader: str, timeline: str) -> int | None:
        held = self._held.get(reader)
        return held.dts.get(timeline) if held is not None else None

    def asking_for(self, started_us: int) -> list[str]:
        """The recorders that asked for the session that began then."""
        return [name for name, held in self._held.items() if held.session_us == started_us]

    def tick(self, now: Moment) -> None:
        """Forgets recorders that have been away for long."""
        for name, held in list(self._held.items()):
            if held.detached_at is not None and now.monotonic - held.detached_at > LINGER_SECONDS:
                del self._held[name]
