"""Whether two legs carry the same bitstream, and by how much their clocks differ.

Two encoders fed by one, or one encoder pushing twice, send payloads that are equal byte by byte.
In: fingerprints of what went out last, and the units a standby holds. Out: the offset that puts
the standby's units exactly where the output stands, so that nothing is repeated and nothing is
missing; None for legs that merely show the same thing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sluice_media.formats.units import AccessUnit

_MATCHES = 8
"""So many units in a row decide."""
_FEWEST_MATCHES = 3
"""Less is chance: two still pictures may well be coded alike. From a random access point on one is
enough: a decoder that has the same keyframe cannot tell the legs apart."""
_TRACE_UNITS = 1_024


class OutputTrace:
    """Fingerprints of the reference units that went out: (hash, output DTS, content UTC)."""

    def __init__(self) -> None:
        self.entries: deque[tuple[int, int, int]] = deque(maxlen=_TRACE_UNITS)

    def add(self, unit: AccessUnit) -> None:
        """``unit`` has output times."""
        self.entries.append((hash(unit.payload), unit.dts, unit.utc_us))

    def clear(self) -> None:
        self.entries.clear()


def aligned_offset(trace: OutputTrace, held: Sequence[AccessUnit]) -> int | None:
    """Output DTS minus DTS of ``held``, the reference units of a standby in order of decoding.

    Either the last unit that went out is among ``held`` (the standby is ahead), or the last of
    ``held`` is among those that went out (it is behind). A still picture is the same every group
    of pictures: of several places the one that came nearest in time is meant."""
    out = list(trace.entries)
    if not out or not held:
        return None
    prints = [hash(unit.payload) for unit in held]
    last_out, last_held = len(out) - 1, len(held) - 1
    places = [(last_out, j) for j, seen in enumerate(prints) if seen == out[last_out][0]]
    places += [(i, last_held) for i, seen in enumerate(out[:-1]) if seen[0] == prints[last_held]]
    places = [place for place in places if _match(out, held, prints, *place)]
    if not places:
        return None
    i, j = min(places, key=lambda place: abs(out[place[0]][2] - held[place[1]].utc_us))
    return out[i][1] - held[j].dts


def _match(
    out: Sequence[tuple[int, int, int]],
    held: Sequence[AccessUnit],
    prints: Sequence[int],
    i: int,
    j: int,
) -> bool:
    count = min(i, j, _MATCHES - 1) + 1
    if count < _FEWEST_MATCHES and not held[j - count + 1].is_random_access:
        return False
    return all(out[i - back][0] == prints[j - back] for back in range(count))
