"""Hostile input: nothing but the named errors, no spinning, no memory beyond what was sent.

``make test`` gives each target about a second; ``make fuzz`` gives each SLUICE_FUZZ_SECONDS. A
finding goes into tests/corpus, where it is tried first from then on.
"""

from __future__ import annotations

import contextlib
import os
import time
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.fuzz.targets import TARGETS, Target

CORPUS = Path(__file__).parents[2] / "corpus"
SECONDS = float(os.environ.get("SLUICE_FUZZ_SECONDS", "0"))
EXAMPLES = 100
SLACK_SECONDS = 1.0
MEMORY_SLACK_BYTES = 24 << 20
"""A demultiplexer may make room for one large record that was announced, a hub for its rings."""

_INTERESTING = [
    b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00",
    b"\xff", b"\x00", b"\x00\x00\x01", b"\x00\x00\x03", b"\x47", b"\x09", b"\x12", b"\x03",
]  # fmt: skip


def corpus(target: Target) -> list[bytes]:
    return [
        path.read_bytes() for name in target.corpus for path in sorted((CORPUS / name).iterdir())
    ]


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> list[bytes]:
    """A piece of the corpus with some damage, cut as a network might."""
    data = bytearray(draw(st.sampled_from(seeds)))
    place = st.integers(0, max(0, len(data)))
    for _ in range(draw(st.integers(0, 6))):
        at, size = draw(place), draw(st.integers(0, 40))
        match draw(st.integers(0, 5)):
            case 0:
                data[at : at + 4] = draw(st.sampled_from(_INTERESTING))
            case 1:
                data[at:at] = draw(st.binary(max_size=40))
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size * 10]
            case 4:
                del data[at:]
            case _ if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case _:
                data += draw(st.sampled_from(seeds))
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=8))
    places = sorted({0, len(data), *cuts})
    return [bytes(data[a:b]) for a, b in pairwise(places)]


def attempt(target: Target, pieces: list[bytes]) -> None:
    began = time.process_time()
    with contextlib.suppress(*target.may_raise):
        target.run(pieces)
    spent = time.process_time() - began
    size = sum(map(len, pieces))
    assert spent < SLACK_SECONDS + size * target.microseconds_per_byte / 1e6, (spent, size)


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_ends_in_a_named_error_or_in_none(name: str) -> None:
    target = TARGETS[name]
    seeds = corpus(target)
    for seed in seeds:
        attempt(target, [seed])

    @given(mutated(seeds))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    def fuzz(pieces: list[bytes]) -> None:
        attempt(target, pieces)

    until = time.monotonic() + SECONDS
    while True:
        fuzz()
        if time.monotonic() >= until:
            return


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_only_announced_takes_no_memory(name: str) -> None:
    """Lengths of 0xFFFFFF and the like, at every place in turn, and then what one read of a
    socket may bring of nothing."""
    target = TARGETS[name]
    filler = bytes(128 << 10)
    seed = corpus(target)[0]
    step = max(1, len(seed) // 12)
    for at in range(0, len(seed), step):
        damaged = [seed[:at] + b"\xff\xff\xff" + seed[at + 3 :], filler]
        tracemalloc.start()
        try:
            attempt(target, damaged)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < MEMORY_SLACK_BYTES, (at, peak)
