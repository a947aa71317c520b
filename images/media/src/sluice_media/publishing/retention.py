"""The media that the hub has not acknowledged, from a random access point on.

Media is kept in whole groups of pictures (for a stream without video: seconds of sound). A group
is dropped when the next one starts at or before the acknowledged time and nothing in it is later.
Sound from before the first picture may have another clock; it does not keep a group. The
oldest groups are also dropped, and counted, when a limit of the publisher or the budget of all
publishers is exceeded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.leg_records import LegRecord
from sluice_media.timeline.source_clock import MOST_APART_TICKS

_RECORD_BYTES = 64
"""Memory that Python takes for a record, beside its data."""


@dataclass(slots=True)
class _Group:
    format: bytes
    """The format record in force where the group begins; empty when there was none."""
    arrived_at: float
    first_dts: int | None = None
    last_dts: int = 0
    size: int = 0
    records: list[bytes] = field(default_factory=list)

    @property
    def cost(self) -> int:
        """Memory of the group, in bytes."""
        return self.size + _RECORD_BYTES * len(self.records)


class Retention:
    """The unacknowledged media of one publisher. ``clock`` returns monotonic seconds.

    Its owner has to close it.
    """

    def __init__(
        self,
        max_seconds: float,
        max_bytes: int,
        clock: Callable[[], float],
        budget: RetentionBudget,
    ) -> None:
        self._max_seconds = max_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._budget = budget
        self._closed = False
        self._format = b""
        self._groups: deque[_Group] = deque()
        self._skipping = False
        self._last_dts = 0
        self.size = 0
        """Bytes kept."""
        self.dropped_groups = 0
        """Groups that were dropped unacknowledged because of the limits."""
        self.recorded = True
        """A recorder needs the media that is kept. True until a hub reports otherwise."""
        budget.join(self)

    @property
    def groups(self) -> int:
        return len(self._groups)

    @property
    def oldest_at(self) -> float:
        return self._groups[0].arrived_at

    def close(self) -> None:
        """Drop everything. Records that are added later are not kept."""
        self._closed = True
        while self._groups:
            self._forget_first()
        self._budget.leave(self)

    @property
    def first_dts(self) -> int:
        """DTS at which :meth:`replay` begins; the publisher's last DTS when nothing is kept."""
        first = self._groups[0].first_dts if self._groups else None
        return self._last_dts if first is None else first

    def add(self, record: LegRecord) -> None:
        if self._closed:
            return
        if record.dts is not None:
            self._last_dts = record.dts
        if self._begins_group(record):
            self._groups.append(_Group(self._format, self._clock()))
            self._skipping = False
        if record.is_format:
            self._format = record.data
        if not self._skipping:
            self._keep(record)

    def replay(self, since: int | None = None) -> list[bytes]:
        """Return the format and all kept media, for a hub without earlier media of the leg.

        ``since`` (90 kHz): the hub has all media before it. Then return the media from the last
        random access point before that on.
        """
        if not self._groups:
            return [self._format] if self._format else []
        groups = list(self._groups)
        if since is not None:
            while len(groups) > 1 and _begins_by(groups[1], since):
                groups.pop(0)
        records = [groups[0].format] if groups[0].format else []
        for group in groups:
            records += group.records
        return records

    def acknowledge(self, dts: int) -> None:
        """Drop the media before the last random access point at or before ``dts`` (90 kHz)."""
        while len(self._groups) > 1:
            head, following = self._groups[0], self._groups[1]
            begins = following.first_dts
            if begins is None or begins > dts:
                return
            if dts < head.last_dts <= begins + MOST_APART_TICKS:
                return  # sound that runs ahead of the pictures
            self._forget_first()

    def _begins_group(self, record: LegRecord) -> bool:
        if record.random_access:
            # A format without units is not a group: it belongs to the next picture.
            return not self._groups or self._groups[-1].first_dts is not None
        return not self._groups and not self._skipping

    def _keep(self, record: LegRecord) -> None:
        group = self._groups[-1]
        if record.dts is not None:
            if group.first_dts is None:
                group.first_dts = group.last_dts = record.dts
            group.last_dts = max(group.last_dts, record.dts)
        group.records.append(record.data)
        group.size += len(record.data)
        self.size += len(record.data)
        oldest = self._clock() - self._max_seconds
        while self._groups and (self.size > self._max_bytes or self._groups[0].arrived_at < oldest):
            self.shed()
        self._budget.spend(len(record.data) + _RECORD_BYTES)

    def shed(self) -> None:
        """Drop the oldest group although it was not acknowledged."""
        self._forget_first()
        self.dropped_groups += 1
        # Without a group, nothing can be kept until the next one begins.
        self._skipping = not self._groups

    def _forget_first(self) -> None:
        group = self._groups.popleft()
        self.size -= group.size
        self._budget.spend(-group.cost)


def _begins_by(group: _Group, dts: int) -> bool:
    return group.first_dts is not None and group.first_dts <= dts
