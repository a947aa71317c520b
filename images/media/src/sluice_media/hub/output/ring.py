"""The ring: the last minute of a timeline's records, encoded once for all its readers.

A record has a sequence number, which only grows. A reader is only such a number, so that it costs
no memory here and a slow one does not affect the others. The ring holds at least 60 s of media and
always starts at a random access point, with the records directly before it. Content that a
Recording has pinned stays longer. The limit in bytes wins over everything, so that the pod's
memory is bounded.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

KEEP_SECONDS = 60.0
MAX_BYTES = 256 << 20
_TRIM_EVERY = 64
"""Number of records between two trims: deleting one by one would move all others each time."""


class RingRecord(NamedTuple):
    """One record of the timeline."""

    data: bytes
    """The record in wire format."""
    offset: int
    """Number of bytes of the timeline before this record."""
    dts: int
    utc_us: int
    is_unit: bool


@dataclass(slots=True, frozen=True)
class Entry:
    """A random access point in the ring."""

    seq: int
    dts: int
    utc_us: int


class Ring:
    """The last records of one timeline, by sequence number."""

    def __init__(
        self,
        keep_seconds: float = KEEP_SECONDS,
        max_bytes: int = MAX_BYTES,
        *,
        first: int = 0,
        trimmed_dts: int | None = None,
    ) -> None:
        """Create a ring; to continue behind ``trimmed_dts``, its first record is ``first``."""
        self._keep = int(keep_seconds * 90_000)
        self._max_bytes = max_bytes
        self._records: list[RingRecord] = []
        self._first = first
        self._entries: list[Entry] = []
        self._total = 0
        self._pin: int | None = None
        self._batch: tuple[int, int, bytes] = (-1, -1, b"")
        self.trimmed_dts = trimmed_dts
        """Highest DTS of a unit that has left the ring; None while it holds everything."""
        self.pins_broken = 0
        """Number of times that the byte limit dropped pinned content."""

    @property
    def first(self) -> int:
        """Sequence number of the oldest record."""
        return self._first

    @property
    def head(self) -> int:
        """Sequence number of the next record."""
        return self._first + len(self._records)

    @property
    def bytes_held(self) -> int:
        return self._total - self._records[0].offset if self._records else 0

    @property
    def seconds_held(self) -> float:
        if not self._records:
            return 0.0
        return max(0, self._records[-1].dts - self._records[0].dts) / 90_000

    @property
    def oldest(self) -> Entry | None:
        """The oldest random access point."""
        return self._entries[0] if self._entries else None

    @property
    def newest(self) -> Entry | None:
        return self._entries[-1] if self._entries else None

    def append(
        self, data: bytes, *, dts: int, utc_us: int, is_unit: bool, is_entry: bool = False
    ) -> int:
        """Add a record and return its sequence number."""
        seq = self.head
        self._records.append(RingRecord(data, self._total, dts, utc_us, is_unit))
        self._total += len(data)
        if is_entry:
            newest = self._entries[-1].utc_us if self._entries else utc_us
            self._entries.append(Entry(seq, dts, max(utc_us, newest)))
        if not seq % _TRIM_EVERY:
            self._trim()
        return seq

    def pin(self, seq: int | None) -> None:
        """Keep everything from ``seq`` on, within the byte limit; None: only the usual 60 s."""
        self._pin = seq

    def __getitem__(self, seq: int) -> RingRecord:
        if seq < self._first:
            raise IndexError(f"record {seq} has left the ring")
        return self._records[seq - self._first]

    def bytes_behind(self, seq: int) -> int:
        """Return the bytes between ``seq`` and the head."""
        return self._total - self[seq].offset if seq < self.head else 0

    def seconds_behind(self, seq: int) -> float:
        """Return the media time between ``seq`` and the head."""
        return max(0, self._records[-1].dts - self[seq].dts) / 90_000 if seq < self.head else 0.0

    def read(self, seq: int, max_bytes: int) -> tuple[bytes, int]:
        """Return joined records from ``seq`` on, at least one, and the number behind them.

        Readers at the same position get the same bytes object. Raises IndexError when ``seq`` has
        left the ring."""
        if seq >= self.head:
            return b"", seq
        start, end, data = self._batch
        if start == seq and end == self.head and len(data) <= max_bytes:
            return data, end
        limit = self[seq].offset + max_bytes
        position = seq - self._first
        parts: list[bytes] = []
        for record in self._records[position:]:
            if parts and record.offset + len(record.data) > limit:
                break
            parts.append(record.data)
        end = seq + len(parts)
        self._batch = (seq, end, b"".join(parts) if len(parts) > 1 else parts[0])
        return self._batch[2], end

    def slice(self, seq: int, max_bytes: int) -> list[bytes]:
        """Return a list of the records that :meth:`read` would join."""
        if seq >= self.head:
            return []
        limit = self[seq].offset + max_bytes
        end = bisect_right(self._records, limit, key=lambda r: r.offset + len(r.data))
        position = seq - self._first
        return [record.data for record in self._records[position : max(position + 1, end)]]

    def release(self, seq: int) -> None:
        """Drop everything before ``seq``, pinned or not."""
        self._drop(min(seq, self.head) - self._first)

    def entry_before_utc(self, utc_us: int) -> Entry | None:
        """Return the last random access point at or before a moment, or the oldest one."""
        place = bisect_right(self._entries, utc_us, key=lambda entry: entry.utc_us)
        return self._entries[place - 1] if place else self.oldest

    def entry_before_dts(self, dts: int) -> Entry | None:
        """Return the last random access point at or before a DTS, or the oldest one."""
        place = bisect_right(self._entries, dts, key=lambda entry: entry.dts)
        return self._entries[place - 1] if place else self.oldest

    def after(self, dts: int) -> int:
        """Return the number of the first unit behind ``dts``; the head when there is none."""
        # Search from the head backwards: a reader that reconnects was near the head.
        found = self.head
        slack = dts - 10 * 90_000
        for position in range(len(self._records) - 1, -1, -1):
            record = self._records[position]
            if not record.is_unit:
                continue
            if record.dts > dts:
                found = self._first + position
            elif record.dts <= slack:
                break
        return found

    def _trim(self) -> None:
        wanted = self.entry_before_dts(self._records[-1].dts - self._keep)
        keep_from = wanted.seq if wanted else self._first
        if self._pin is not None:
            keep_from = min(keep_from, self._pin)
        keep_from = max(keep_from, self._first)
        # Records directly before the random access point, such as a gap, belong to it.
        while keep_from > self._first and not self[keep_from - 1].is_unit:
            keep_from -= 1
        floor = self._total - self._max_bytes
        if self._records[keep_from - self._first].offset < floor:
            if self._pin is not None and keep_from >= self._pin:
                self.pins_broken += 1
            keep_from = self._over_limit(floor)
        self._drop(keep_from - self._first)

    def _over_limit(self, floor: int) -> int:
        """Return the first random access point within the byte limit, or the first record."""
        first = bisect_right(self._records, floor, key=lambda record: record.offset)
        seq = self._first + min(first, len(self._records) - 1)
        place = bisect_right(self._entries, seq - 1, key=lambda entry: entry.seq)
        return self._entries[place].seq if place < len(self._entries) else seq

    def _drop(self, count: int) -> None:
        if count <= 0:
            return
        gone = [record.dts for record in self._records[:count] if record.is_unit]
        if gone:
            self.trimmed_dts = max(gone + ([] if self.trimmed_dts is None else [self.trimmed_dts]))
        del self._records[:count]
        self._first += count
        keep = bisect_right(self._entries, self._first - 1, key=lambda entry: entry.seq)
        del self._entries[:keep]
