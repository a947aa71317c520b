"""The readers of a hub: the position of each, recorders' acknowledgements, and slow readers.

A reader is a position in a ring. The records behind it are its queue, bounded in bytes and
seconds. A reader that stays beyond the limit is disconnected without effect on the others, and may
reconnect with ``from=``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, replace

from sluice_media.contract import TimelineAck
from sluice_media.hub.clock import Moment
from sluice_media.hub.output.timeline import OutputTimeline, Request
from sluice_media.hub.spool.session import Place

MAX_BEHIND_BYTES = 16 << 20
MAX_BEHIND_SECONDS = 20.0
GRACE_SECONDS = 2.0
"""Time for which a reader may exceed the limit after a burst (a switch, a replay)."""
MAX_STUCK_SECONDS = 20.0
"""Maximum time without progress for a reader that catches up with old content."""
LINGER_SECONDS = 30.0
"""Time for which a disconnected recorder still counts, because it is expected to reconnect."""
MAX_TIMELINES = 16
"""Maximum number of timelines for which a recorder's acknowledgements are kept."""
RECORDER = "recorder"
PLAYER = "player"


@dataclass(slots=True, eq=False)
class Reader:
    """One reader's connection and its position."""

    id: str
    role: str
    request: Request
    attached_at: Moment
    _: KW_ONLY
    timeline: OutputTimeline | None = None
    """None while the reader waits for a session."""
    seq: int = 0
    """The next record for the reader."""
    place: Place | None = None
    """The place of that record in the spool; None when it is in the ring."""
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
        """True when the reader was sent the end record of its session."""
        ended = self.timeline is not None and self.timeline.ended
        return ended and self.place is None and self.at_head

    @property
    def reached_dts(self) -> int:
        """DTS of the last record that the reader was sent; before the first one, its start."""
        assert self.timeline is not None
        ring = self.timeline.ring
        if self.at_head:
            return self.timeline.last_dts
        return ring[max(self.seq - 1, ring.first)].dts

    def wait(self) -> None:
        """Note that there is no session yet. The reader gets the next one from its beginning."""
        if not self.request.whole:
            self.request = replace(self.request, whole=True)

    def begin(self, timeline: OutputTimeline) -> bytes:
        """Set the reader's position on a timeline; return the first records of the reply."""
        start = timeline.start(self.request)
        self.timeline, self.seq, self.place = timeline, start.seq, start.place
        self._caught_up = self.at_head
        return start.head

    def advanced(self, seq: int, now: Moment) -> None:
        """Note that the reader was sent the records before ``seq``."""
        self.seq = seq
        self._progress_at = now.monotonic
        self._caught_up = self._caught_up or self.at_head

    def too_slow(self, now: Moment) -> bool:
        """Return whether to disconnect the reader. Must be called regularly."""
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
class _RecorderAcks:
    """The acknowledgements of one recorder."""

    dts: dict[str, int] = field(default_factory=dict)
    """Highest acknowledged DTS by timeline, the newest timeline last."""
    session_us: int | None = None
    """Start of the one session that the recorder asked for; None: any session."""
    detached_at: float | None = None

    def take(self, ack: TimelineAck) -> None:
        self.dts[ack.timeline] = max(ack.dts, self.dts.pop(ack.timeline, ack.dts))
        while len(self.dts) > MAX_TIMELINES:
            del self.dts[next(iter(self.dts))]


class Readers:
    """The attached readers, and the acknowledgements of recorders."""

    def __init__(self) -> None:
        self._attached: list[Reader] = []
        self._acks: dict[str, _RecorderAcks] = {}
        self.expected: frozenset[str] = frozenset()
        """Names of recorders whose acknowledgements count though they are not attached: the last
        ones arrive after the end of a session."""
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._attached)

    def __iter__(self) -> Iterator[Reader]:
        return iter(tuple(self._attached))

    def attach(self, reader: Reader) -> None:
        self._attached.append(reader)
        if reader.role == RECORDER:
            acks = self._acks.setdefault(reader.id, _RecorderAcks())
            acks.detached_at = None
            acks.session_us = reader.request.session_us

    def detach(self, reader: Reader, now: Moment) -> None:
        if reader not in self._attached:
            return
        self._attached.remove(reader)
        same = any(other.id == reader.id for other in self._attached)
        if reader.id in self._acks and not same:
            self._acks[reader.id].detached_at = now.monotonic

    def acknowledge(self, ack: TimelineAck, now: Moment | None = None) -> bool:
        """Note what a recorder holds. Return False when no recorder of that name is known."""
        acks = self._acks.get(ack.reader)
        if acks is None:
            if now is None or ack.reader not in self.expected:
                return False
            acks = self._acks[ack.reader] = _RecorderAcks(detached_at=now.monotonic)
        acks.take(ack)
        return True

    def acked_dts(self, timeline: str, started_us: int | None = None) -> int | None:
        """Return the output DTS up to which *every* recorder holds the timeline; None when there is
        no recorder, or one that holds nothing yet. Recorders of another session do not count."""
        held = [acks.dts.get(timeline) for acks in self._recorders_of(started_us)]
        known = [dts for dts in held if dts is not None]
        return min(known) if known and len(known) == len(held) else None

    def has_recorders(self, started_us: int) -> bool:
        """Return whether a recorder of that session is attached, or was within the last 30 s."""
        return bool(self._recorders_of(started_us))

    def _recorders_of(self, started_us: int | None) -> list[_RecorderAcks]:
        return [
            acks
            for acks in self._acks.values()
            if acks.session_us is None or started_us is None or acks.session_us == started_us
        ]

    def acked_by(self, reader: str, timeline: str) -> int | None:
        acks = self._acks.get(reader)
        return acks.dts.get(timeline) if acks is not None else None

    def asking_for(self, started_us: int) -> list[str]:
        """Return the names of the recorders that asked for exactly that session."""
        return [name for name, acks in self._acks.items() if acks.session_us == started_us]

    def tick(self, now: Moment) -> None:
        """Forget recorders that were disconnected more than 30 s ago."""
        for name, acks in list(self._acks.items()):
            if acks.detached_at is not None and now.monotonic - acks.detached_at > LINGER_SECONDS:
                del self._acks[name]
