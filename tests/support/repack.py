"""Transport streams in the way of other multiplexers: equal video in other PES packets.

In: a stream with one access unit in each PES packet of video, as FFmpeg writes it. Out: the same
elementary stream with other PES packets. A packet's time is that of the first access unit which
begins in it (ISO/IEC 13818-1, 2.4.3.7).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from sluice_media.formats.mpegts.packets import Packetizer
from sluice_media.formats.mpegts.pes import pes_header
from sluice_media.formats.mpegts.pes_reader import parse_pes_header

__all__ = ["STYLES", "Piece", "pieces_of", "repack"]

VIDEO_PID = 0x100
_DELIMITER = re.compile(rb"\x00?\x00\x00\x01(?:\x09|\x46\x01).")


@dataclass(slots=True, frozen=True)
class Piece:
    """A PES packet's payload and times; ``pts`` None: no PTS."""

    payload: bytes
    pts: int | None
    dts: int | None


Style = Callable[[Sequence[Piece]], Iterable[Piece]]


def pieces_of(stream: bytes, pid: int = VIDEO_PID) -> list[Piece]:
    """Return the complete PES packets of one PID."""
    packets: list[bytearray] = []
    for packet in _packets(stream):
        if _pid(packet) != pid or not packet[3] & 0x10:
            continue
        start = 5 + packet[4] if packet[3] & 0x20 else 4
        if packet[1] & 0x40:
            packets.append(bytearray())
        if packets:
            packets[-1] += packet[start:]
    found = []
    for pes in packets:
        header = parse_pes_header(pes)
        assert header is not None
        found.append(Piece(bytes(pes[header.payload_start :]), header.pts_90khz, header.dts_90khz))
    return found


def repack(
    stream: bytes,
    style: Style,
    *,
    bounded: bool = False,
    aligned: bool = False,
    pid: int = VIDEO_PID,
) -> bytes:
    """Return the stream with other PES packets. ``bounded``: packets have their length if it fits.
    ``aligned``: packets have the data alignment indicator."""
    made = [
        _pes(piece, bounded=bounded, aligned=aligned) for piece in style(pieces_of(stream, pid))
    ]
    packetizer = Packetizer(pid)
    parts = [b"".join(packetizer.packets(pes)) for pes in made]
    others = [packet for packet in _packets(stream) if _pid(packet) != pid]
    # The tables come first; the other packets keep their proportion.
    out, place = list(others[:3]), 3
    for number, part in enumerate(parts, 1):
        out.append(part)
        until = max(3, len(others) * number // len(parts))
        out += others[place:until]
        place = until
    return b"".join(out)


def _pes(piece: Piece, *, bounded: bool, aligned: bool) -> bytes:
    if piece.pts is None or piece.dts is None:
        head = b"\x00\x00\x01\xe0\x00\x00\x80\x00\x00"
    else:
        head = pes_header(0xE0, piece.pts, piece.dts, 0)
    size = len(head) - 6 + len(piece.payload)
    length = size if bounded and size <= 0xFFFF else 0
    flags = 0x84 if aligned else 0x80
    return head[:4] + length.to_bytes(2, "big") + bytes((flags,)) + head[7:] + piece.payload


def _packets(stream: bytes) -> Iterator[bytes]:
    return (stream[at : at + 188] for at in range(0, len(stream), 188))


def _pid(packet: bytes) -> int:
    return int.from_bytes(packet[1:3], "big") & 0x1FFF


# ------------------------------------------------------------------ styles


def as_it_is(units: Sequence[Piece]) -> Iterable[Piece]:
    return units


def time_on_every(n: int, offset: int = 0) -> Style:
    """Return a style in which only every n-th packet has a time."""

    def style(units: Sequence[Piece]) -> Iterator[Piece]:
        for number, unit in enumerate(units):
            timed = number % n == offset or number == 0
            yield unit if timed else Piece(unit.payload, None, None)

    return style


def several(n: int) -> Style:
    """Return a style with ``n`` units in a packet."""

    def style(units: Sequence[Piece]) -> Iterator[Piece]:
        for at in range(0, len(units), n):
            group = units[at : at + n]
            yield Piece(b"".join(u.payload for u in group), group[0].pts, group[0].dts)

    return style


def chunks(size: int) -> Style:
    """Return a style with packets of ``size`` bytes, which begin anywhere."""

    def style(units: Sequence[Piece]) -> Iterator[Piece]:
        whole = b"".join(unit.payload for unit in units)
        starts = list(accumulate((len(unit.payload) for unit in units), initial=0))
        number = 0
        for at in range(0, len(whole), size):
            while number < len(units) and starts[number] < at:
                number += 1
            begins = number < len(units) and starts[number] < at + size
            unit = units[number] if begins else Piece(b"", None, None)
            yield Piece(whole[at : at + size], unit.pts, unit.dts)

    return style


def one_nal(units: Sequence[Piece]) -> Iterator[Piece]:
    """Yield a packet for each NAL unit. The first packet of an access unit has the time."""
    for unit in units:
        cuts = [m.start() for m in re.finditer(rb"\x00\x00\x01", unit.payload)]
        cuts = [at - (at > 0 and unit.payload[at - 1] == 0) for at in cuts]
        for index, at in enumerate(cuts):
            end = cuts[index + 1] if index + 1 < len(cuts) else len(unit.payload)
            times = (unit.pts, unit.dts) if index == 0 else (None, None)
            yield Piece(unit.payload[at:end], *times)


def without_delimiters(style: Style) -> Style:
    """Return the style without access unit delimiters."""

    def stripped(units: Sequence[Piece]) -> Iterable[Piece]:
        return style([Piece(_DELIMITER.sub(b"", u.payload, count=1), u.pts, u.dts) for u in units])

    return stripped


_PLAIN: dict[str, Style] = {
    "one unit in a packet": as_it_is,
    "a time on every second packet": time_on_every(2),
    "a time on every third packet": time_on_every(3, 1),
    "two units in a packet": several(2),
    "a second of units in a packet": several(25),
    "packets of 2,000 bytes": chunks(2_000),
    "packets of 160 bytes": chunks(160),
    "packets of 40,000 bytes": chunks(40_000),
    "a packet for each NAL unit": one_nal,
}
STYLES: dict[str, Style] = {
    **_PLAIN,
    **{f"{name}, no delimiters": without_delimiters(style) for name, style in _PLAIN.items()},
}
