"""The trim of a chunk's beginning where another attempt's chunks have the same units (pure).

In: the bytes of a chunk made by our own multiplexer, and per track the DTS up to which units are
dropped. Out: the packets without those of the dropped units; tables and packets without payload
stay. Source: ISO/IEC 13818-1:2019, clauses 2.4.3.2, 2.4.3.4 and 2.4.3.6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice_media.contract import TrackInfo
from sluice_media.formats.mpegts.mux import track_pid
from sluice_media.formats.mpegts.packets import PACKET_BYTES, payload_offset
from sluice_media.formats.mpegts.pes_reader import read_timestamp, unwrapped
from sluice_media.formats.mpegts.psi import PAT_PID, PMT_PID

_UNIT_START = 0x41
"""Second byte of a packet in which a unit of PID 0x100 to 0x1ff begins."""


@dataclass(slots=True, frozen=True)
class TrackCut:
    """One track of the chunk to be trimmed."""

    first_dts: int
    """First DTS of the track in the chunk, by which the 33-bit times are unwrapped."""
    skip_through: int | None
    """DTS up to which units are dropped; None: all units stay."""


def track_pids(tracks: Sequence[TrackInfo]) -> dict[int, int]:
    """Return the track of each PID, as our multiplexer assigns them."""
    return {track_pid(info.track): info.track for info in tracks}


def trim(data: bytes, pids: Mapping[int, int], cuts: Mapping[int, TrackCut]) -> bytes:
    """Return the chunk without the dropped units. A track without a cut is kept whole."""
    kept: list[bytes] = []
    keeps: dict[int, bool] = {}
    for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES):
        packet = data[at : at + PACKET_BYTES]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        cut = cuts.get(pids[pid]) if pid in pids else None
        has_payload = bool(packet[3] & 0x10)
        if cut is None or cut.skip_through is None or not has_payload:
            kept.append(packet)
            continue
        if packet[1] & 0x40:
            keeps[pid] = _dts(packet, cut.first_dts) > cut.skip_through
        if keeps.get(pid, False):
            kept.append(packet)
    return b"".join(kept)


def count_units(data: bytes, pids: Mapping[int, int]) -> dict[int, int]:
    """Return the number of units by track: our multiplexer begins a PES packet with each unit."""
    # Every PID fits into one byte and the lowest bit of the byte before it.
    high, low = data[1::PACKET_BYTES], data[2::PACKET_BYTES]
    found: dict[int, int] = {}
    at = high.find(_UNIT_START)
    while at >= 0:
        track = pids.get(0x100 | low[at])
        if track is not None:
            found[track] = found.get(track, 0) + 1
        at = high.find(_UNIT_START, at + 1)
    return found


def read_units(data: bytes, pids: Mapping[int, int]) -> dict[int, list[int]]:
    """Return the DTS of the units by track, unwrapped within the chunk.

    The result is empty unless the bytes are a whole chunk of these tracks alone: not cut, not
    altered, without missing packets."""
    sync = data[::PACKET_BYTES]
    if not sync or len(data) % PACKET_BYTES or sync.count(0x47) != len(sync):
        return {}
    found: dict[int, list[int]] = {}
    counters: dict[int, int] = {}
    near = 0
    for at in range(0, len(data), PACKET_BYTES):
        packet = data[at : at + PACKET_BYTES]
        pid, has_payload = (packet[1] & 0x1F) << 8 | packet[2], bool(packet[3] & 0x10)
        if has_payload:
            counter = packet[3] & 0x0F
            if counter != (counters.get(pid, counter - 1) + 1) & 0x0F:
                return {}
            counters[pid] = counter
        if pid in (PAT_PID, PMT_PID):
            continue
        if pid not in pids:
            return {}
        if not packet[1] & 0x40:
            continue
        units = found.setdefault(pids[pid], [])
        near = dts = _dts(packet, near)
        if units and dts <= units[-1]:
            return {}
        units.append(dts)
    return found


def _dts(packet: bytes, near: int) -> int:
    """Return the DTS of the PES packet that begins here, unwrapped to be nearest to ``near``."""
    start = payload_offset(packet)
    has_pts_only = packet[start + 7] >> 6 == 2
    return unwrapped(read_timestamp(packet, start + (9 if has_pts_only else 14)), near)
