"""The pacer hands media on at its own speed, complete and in order."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.pull.pacer import Pacer


def clocked(seconds: float, fill: int = 0) -> bytes:
    """Return a packet with a program clock reference."""
    base, extension = divmod(int(seconds * 27_000_000), 300)
    base &= (1 << 33) - 1
    field = (base >> 1).to_bytes(4, "big") + bytes([(base & 1) << 7 | 0x7E | extension >> 8])
    head = b"\x47\x01\x00\x30\x07\x10" + field + bytes([extension & 0xFF])
    return head + bytes([fill]) * (188 - len(head))


PLAIN = b"\x47\x01\x00\x10" + bytes(184)


def stream(seconds: float, *, start: float = 0.0) -> bytes:
    steps = int(seconds * 10)
    return b"".join(clocked(start + step / 10) + PLAIN for step in range(steps))


def run(pacer: Pacer, now: float, until: float) -> tuple[bytes, float]:
    """Take all packets; return them with the time at which the last one was due."""
    given_out = b""
    while now < until:
        part, wait = pacer.take(now)
        given_out += part
        if not wait:
            break
        now += wait
    return given_out, now


def test_a_burst_of_twenty_seconds_takes_about_twenty_seconds() -> None:
    pacer = Pacer()
    data = stream(20)
    pacer.add(data)
    given_out, now = run(pacer, 100.0, 200.0)
    assert given_out == data
    assert 17 < now - 100.0 < 20


def test_a_live_source_is_never_held() -> None:
    pacer = Pacer()
    for step in range(100):
        pacer.add(clocked(step / 10) + PLAIN)
        part, wait = pacer.take(step / 10)
        assert (len(part), wait) == (2 * 188, 0)


def test_jitter_of_half_a_second_passes() -> None:
    pacer = Pacer()
    pacer.add(stream(5))
    _, now = run(pacer, 0.0, 100.0)
    pacer.add(stream(0.4, start=5))
    part, wait = pacer.take(now + 0.4)
    assert (len(part), wait) == (8 * 188, 0)


def test_a_step_to_another_clock_is_not_waited_for() -> None:
    pacer = Pacer()
    for clock in (5.0, 90_000.0, 3.0, 3.1):
        pacer.add(clocked(clock))
        part, wait = pacer.take(1.0)
        assert part
        assert not wait


def test_a_picture_every_minute_still_passes() -> None:
    pacer = Pacer()
    pacer.add(b"".join(clocked(9.0 * step) for step in range(4)))
    given_out, _ = run(pacer, 0.0, 100.0)
    assert len(given_out) == 4 * 188


@given(st.binary(max_size=2_000), st.lists(st.integers(0, 2_000), max_size=5))
def test_any_bytes_go_out_unchanged(noise: bytes, cuts: list[int]) -> None:
    data = noise[: len(noise) // 188 * 188]
    pacer, given_out, now = Pacer(), b"", 0.0
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        pacer.add(data[start:end])
        part, now = run(pacer, now, now + 1e6)
        given_out += part
    assert given_out == data
