"""Runs of plain packets are counted as a look at each header would count them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.mpegts.packet_runs import MAX_RUN_PACKETS, run_packets, run_payload
from sluice_media.formats.mpegts.packets import PACKET_BYTES, PAYLOAD_BYTES


def packet(counter: int, pid: int = 0x100, control: int = 0x10, start: int = 0) -> bytes:
    header = bytes((0x47, start | pid >> 8, pid & 0xFF, control | counter & 0xF))
    return header + bytes((counter & 0xFF,)) * PAYLOAD_BYTES


@given(
    first=st.integers(0, 15),
    length=st.integers(1, MAX_RUN_PACKETS),
    after=st.sampled_from(["nothing", "pid", "counter", "start", "adaptation", "sync"]),
    before=st.integers(0, 3),
)
def test_a_run_ends_at_the_first_packet_that_is_not_its_plain_successor(
    first: int, length: int, after: str, before: int
) -> None:
    run = [packet(first + number) for number in range(length)]
    end = first + length
    other = {
        "nothing": b"",
        "pid": packet(end, pid=0x101),
        "counter": packet(end + 1),
        "start": packet(end, start=0x40),
        "adaptation": packet(end, control=0x30),
        "sync": b"\x48" + packet(end)[1:],
    }[after]
    tail = [other, packet(end + 1), packet(end + 2)] if other else []
    at = before * PACKET_BYTES
    data = bytes(at) + b"".join([*run, *tail])
    packets = min(length + len(tail), MAX_RUN_PACKETS)
    assert run_packets(data, at, packets) == min(length, packets)
    assert run_payload(data, at, length) == b"".join(found[4:] for found in run)
