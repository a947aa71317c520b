"""What the hub has not acknowledged: headers, and everything from a random access point on.

Kept are whole groups of pictures (for a stream without video: seconds of sound). A group goes when
the next one starts at or before the acknowledged time and nothing in it is later. Sound from before
the first picture may have another clock, and is not waited for. A group also goes, counted, beyond
the publisher's own limits of time and bytes, and beyond the budget of all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.parts import Part
from sluice_media.timeline.source_clock import MOST_APART_TICKS

_SLACK_TICKS = 270
"""The hub counts the sound of FLV in samples, up to 2 ms away from the milliseconds here."""
_PART_BYTES = 64
"""What Python takes for a part, beside its data."""


@dataclass(slots=True)
class _Group:
    headers: tuple[bytes, ...]
    arrived_at: float
    first_dts: int | None = None
    last_dts: int = 0
    size: int = 0
    parts: list[bytes] = field(default_factory=list)

    @property
    def cost(self) -> int:
        """Memory that it takes, in bytes."""
        return self.size + _PART_BYTES * len(self.parts)


class Retention:
    """Of one publisher. ``clock`` gives monotonic seconds. To be closed."""

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
        self._headers: dict[str, bytes] = {}
        self._groups: deque[_Group] = deque()
        self._skipping = False
        self._last_dts = 0
        self.size = 0
        """Bytes kept."""
        self.dropped_groups = 0
        """Groups that went unacknowledged because of the limits."""
        self.recorded = True
        """A recorder needs what is kept; so it is until a hub says otherwise."""
        budget.join(self)

    @property
    def groups(self) -> int:
        return len(self._groups)

    @property
    def oldest_at(self) -> float:
        return self._groups[0].arrived_at

    def close(self) -> None:
        """Forget everything; what is added later is not kept."""
        self._closed = True
        while self._groups:
            self._forget_first()
        self._budget.leave(self)

    @property
    def first_dts(self) -> int:
        """Where :meth:`replay` begins; where the publisher is, when nothing is kept."""
        first = self._groups[0].first_dts if self._groups else None
        return self._last_dts if first is None else first

    def add(self, part: Part) -> None:
        if self._closed:
            return
        if part.dts is not None:
            self._last_dts = part.dts
        if part.entry is not None:
            self._headers[part.entry.header] = part.entry.data
        if self._begins_group(part):
            self._groups.append(_Group(tuple(self._headers.values()), self._clock()))
            self._skipping = False
        if part.header:
            self._headers[part.header] = part.data
        if not self._skipping:
            self._keep(part)

    def replay(self, since: int | None = None) -> list[bytes]:
        """Return headers and everything kept, for a hub that starts anew. For a hub that has what
        came before ``since`` (90 kHz): from the last random access point before that."""
        if not self._groups:
            return list(self._headers.values())
        groups = list(self._groups)
        if since is not None:
            while len(groups) > 1 and _begins_by(groups[1], since):
                groups.pop(0)
        parts = list(groups[0].headers)
        for group in groups:
            parts += group.parts
        return parts

    def acknowledge(self, dts: int) -> None:
        """Forgets what lies before the last random access point at or before ``dts`` (90 kHz)."""
        until = dts - _SLACK_TICKS
        while len(self._groups) > 1:
            head, following = self._groups[0], self._groups[1]
            begins = following.first_dts
            if begins is None or begins > until:
                return
            if until < head.last_dts <= begins + MOST_APART_TICKS:
                return  # sound that runs ahead of the pictures
            self._forget_first()

    def _begins_group(self, part: Part) -> bool:
        if part.random_access:
            # Headers alone are no group: they belong to the picture that follows.
            return not self._groups or self._groups[-1].first_dts is not None
        return not self._groups and not self._skipping

    def _keep(self, part: Part) -> None:
        group = self._groups[-1]
        if part.dts is not None:
            if group.first_dts is None:
                group.first_dts = group.last_dts = part.dts
            group.last_dts = max(group.last_dts, part.dts)
        group.parts.append(part.data)
        group.size += len(part.data)
        self.size += len(part.data)
        oldest = self._clock() - self._max_seconds
        while self._groups and (self.size > self._max_bytes or self._groups[0].arrived_at < oldest):
            self.shed()
        self._budget.spend(len(part.data) + _PART_BYTES)

    def shed(self) -> None:
        """Let the oldest group go though it was not acknowledged."""
        self._forget_first()
        self.dropped_groups += 1
        # When it is the only one, nothing can be kept before the next begins.
        self._skipping = not self._groups

    def _forget_first(self) -> None:
        group = self._groups.popleft()
        self.size -= group.size
        self._budget.spend(-group.cost)


def _begins_by(group: _Group, dts: int) -> bool:
    return group.first_dts is not None and group.first_dts <= dts
