"""Transport packets: a PES packet, cut into packets of 188 bytes.

Source: ISO/IEC 13818-1:2019, clause 2.4.3.2 (packet), 2.4.3.4 (adaptation field).

At 6 Mb/s some 4,000 packets leave a second. Dozens of packets in the middle of a PES packet are
therefore cut by one call and joined with one header. Their counters are inserted afterwards, all at
once.
"""

from __future__ import annotations

from struct import Struct

PACKET_BYTES = 188
PAYLOAD_BYTES = 184
CLOCK_TICKS = 1 << 33
"""Number of ticks (26.5 h) after which coded times, with 33 bits, begin again at 0."""
_SYNC = 0x47
_PAYLOADS = [Struct(f"{PAYLOAD_BYTES}s" * count) for count in range(65)]
"""Structs by the number of payloads that they cut."""
_MOST = len(_PAYLOADS) - 1
_CONTROLS = bytes(range(0x10, 0x20)) * 2
"""Last header bytes of packets with only a payload, by counter. The 16 values stand there twice, so
that 16 counters from any start are one slice."""
_TIMESTAMP_MASK = CLOCK_TICKS - 1

_AF_DISCONTINUITY = 0x80
_AF_RANDOM_ACCESS = 0x40
_AF_PCR = 0x10


def packet_header(
    pid: int, counter: int, *, unit_start: bool = False, adaptation: bool = False
) -> bytes:
    """Return the 4 bytes before a payload (or before an adaptation field)."""
    flags = 0x4000 if unit_start else 0
    control = 0x30 if adaptation else 0x10
    return bytes((_SYNC,)) + (flags | pid).to_bytes(2, "big") + bytes((control | counter,))


def payload_offset(data: bytes | bytearray, at: int = 0) -> int:
    """Return the start of the payload in the packet at ``at``, after the adaptation field."""
    return at + (5 + data[at + 4] if data[at + 3] & 0x20 else 4)


def pcr_field(pcr_90khz: int) -> bytes:
    """Return a program clock reference with a resolution of 90 kHz, modulo 2^33."""
    return ((pcr_90khz & _TIMESTAMP_MASK) << 15 | 0x7E00).to_bytes(6, "big")


class Packetizer:
    """Continuity counter and headers of one PID's packets."""

    __slots__ = ("_counter", "_first", "_middle", "_pid", "_stuffed")

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._counter = 0
        self._middle = packet_header(pid, 0)
        self._stuffed = [packet_header(pid, counter, adaptation=True) for counter in range(16)]
        self._first = [
            packet_header(pid, counter, unit_start=True, adaptation=adaptation)
            for adaptation in (False, True)
            for counter in range(16)
        ]

    def pcr_packet(self, pcr_90khz: int) -> bytes:
        """Return a packet with a PCR and no payload, which does not advance the counter
        (2.4.3.3)."""
        counter = (self._counter - 1) & 0xF
        header = bytearray(packet_header(self._pid, counter))
        header[3] = 0x20 | counter
        field = bytes((PAYLOAD_BYTES - 1, _AF_PCR)) + pcr_field(pcr_90khz)
        return bytes(header) + field.ljust(PAYLOAD_BYTES, b"\xff")

    def packets(
        self,
        pes: bytes,
        *,
        pcr_90khz: int | None = None,
        random_access: bool = False,
        discontinuity: bool = False,
    ) -> list[bytes | bytearray]:
        """Return pieces that, joined, are the packets of one PES packet."""
        field = b""
        if pcr_90khz is not None or random_access or discontinuity:
            flags = (
                (_AF_DISCONTINUITY if discontinuity else 0)
                | (_AF_RANDOM_ACCESS if random_access else 0)
                | (_AF_PCR if pcr_90khz is not None else 0)
            )
            pcr = b"" if pcr_90khz is None else pcr_field(pcr_90khz)
            field = bytes((1 + len(pcr), flags)) + pcr
        size = len(pes)
        room = PAYLOAD_BYTES - len(field)
        if size < room:
            field = _stuffed(field, PAYLOAD_BYTES - size)
            room = size
        counter = self._counter
        parts: list[bytes | bytearray] = [
            self._first[counter + 16 if field else counter],
            field,
            pes[:room],
        ]
        counter = (counter + 1) & 0xF

        end = size - (size - room) % PAYLOAD_BYTES
        if count := (end - room) // PAYLOAD_BYTES:
            parts.append(self._packets_between(pes, room, count, counter))
            counter = (counter + count) & 0xF

        if end < size:
            parts += (self._stuffed[counter], _stuffed(b"", PAYLOAD_BYTES - size + end), pes[end:])
            counter = (counter + 1) & 0xF
        self._counter = counter
        return parts

    def _packets_between(self, pes: bytes, start: int, count: int, counter: int) -> bytearray:
        """Return ``count`` full packets of the bytes in ``pes`` from ``start`` on."""
        payloads = [b""]  # so that a header comes before the first payload, too
        last = start + count // _MOST * _MOST * PAYLOAD_BYTES
        for position in range(start, last, _MOST * PAYLOAD_BYTES):
            payloads += _PAYLOADS[_MOST].unpack_from(pes, position)
        payloads += _PAYLOADS[count % _MOST].unpack_from(pes, last)
        packets = bytearray(self._middle.join(payloads))
        controls = _CONTROLS[counter : counter + 16] * (count // 16 + 1)
        packets[3::PACKET_BYTES] = controls[:count]
        return packets


def _stuffed(field: bytes, size: int) -> bytes:
    """Return the adaptation field ``field``, stuffed to ``size`` bytes (1 to 184)."""
    if size == 1:
        return b"\x00"
    flags_and_more = field[1:] or b"\x00"
    return (bytes((size - 1,)) + flags_and_more).ljust(size, b"\xff")
