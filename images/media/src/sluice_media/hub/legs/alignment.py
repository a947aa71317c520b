"""Alignment of two legs that carry the same bitstream.

Two outputs of one encoder, or one encoder that pushes twice, send payloads that are equal byte by
byte. In: fingerprints of the units that went out last, and the units held of a standby leg. Out:
the offset with which the standby leg continues the output at the exact next unit; None for legs
with different bitstreams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sluice_media.formats.units import AccessUnit

_MATCHES = 8
"""Number of consecutive equal units that prove an alignment."""
_FEWEST_MATCHES = 3
"""Minimum number of equal units when fewer than :data:`_MATCHES` are there: one or two may be
chance, because still pictures can be coded alike. From a random access point on, one is enough: a
decoder that has the same keyframe decodes the rest of either leg."""
_TRACE_UNITS = 1_024


class OutputTrace:
    """Fingerprints of the last reference units that went out: (hash, output DTS, arrival UTC)."""

    def __init__(self) -> None:
        self.entries: deque[tuple[int, int, int]] = deque(maxlen=_TRACE_UNITS)

    def add(self, unit: AccessUnit) -> None:
        """Add a unit with output times."""
        self.entries.append((hash(unit.payload), unit.dts, unit.utc_us))

    def clear(self) -> None:
        self.entries.clear()


def aligned_offset(trace: OutputTrace, held: Sequence[AccessUnit]) -> int | None:
    """Return output DTS minus DTS of ``held``; None when the bitstreams differ.

    ``held`` are the reference units of a standby leg in decoding order. Either ``held`` contains
    the last unit that went out (the standby is ahead), or the trace contains the last unit of
    ``held`` (the standby is behind). A still picture repeats in every GOP: of several matches, the
    one whose units arrived closest in time wins."""
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
