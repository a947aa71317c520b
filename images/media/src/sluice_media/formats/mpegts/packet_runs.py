"""Runs of plain packets: consecutive packets of one PID that carry payload and nothing else.

A picture of 25 kB has 130 such packets. Their headers are compared all at once: at 6 Mb/s, a look
at each of 4,000 packets a second would be most of the demultiplexer's CPU time.

Source: ISO/IEC 13818-1:2019, clause 2.4.3.2 (packet header; the continuity counter has 4 bits).
"""

from __future__ import annotations

from functools import cache, lru_cache
from struct import Struct

from sluice_media.formats.mpegts.packets import PACKET_BYTES, PAYLOAD_BYTES

MAX_RUN_PACKETS = 128
_HEADER_BYTES = 4
_HEADERS_IN_PACKET = PACKET_BYTES // _HEADER_BYTES


@lru_cache(maxsize=1_024)
def _headers(first_three: bytes) -> bytes:
    """Return the headers of consecutive plain packets, with counters from 0 on."""
    return b"".join(
        first_three + bytes((0x10 | counter & 0xF,)) for counter in range(16 + MAX_RUN_PACKETS)
    )


@cache
def _payloads(packets: int) -> Struct:
    return Struct(f"{_HEADER_BYTES}x{PAYLOAD_BYTES}s" * packets)


def run_packets(data: bytes, at: int, packets: int) -> int:
    """Return the number of packets from ``at`` on whose headers continue the plain packet at
    ``at``.

    ``packets`` is the maximum to compare, at most MAX_RUN_PACKETS; ``data`` contains all of them.
    """
    with (
        memoryview(data)[at : at + packets * PACKET_BYTES] as view,
        view.cast("I") as words,
        words[::_HEADERS_IN_PACKET] as headers,
    ):
        found = headers.tobytes()
    counter = data[at + 3] & 0xF
    begin = _HEADER_BYTES * counter
    expected = _headers(data[at : at + 3])[begin : begin + len(found)]
    if found == expected:
        return packets
    difference = int.from_bytes(found, "big") ^ int.from_bytes(expected, "big")
    return packets - -(-difference.bit_length() // (8 * _HEADER_BYTES))


def run_payload(data: bytes, at: int, packets: int) -> bytes:
    """Return the payload of ``packets`` plain packets from ``at`` on."""
    return b"".join(_payloads(packets).unpack_from(data, at))
