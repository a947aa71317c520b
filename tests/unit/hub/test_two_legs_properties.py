"""Any two legs with any faults: what always holds of the output."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_media.contract import TimelineEnd, TimelineGap
from sluice_media.formats.units import AccessUnit, TrackFormat, UnitFlags
from sluice_media.hub.legs.leg import LegName
from tests.support.hub_world import (
    AUDIO,
    VIDEO,
    Publisher,
    VirtualReader,
    World,
    assert_strictly_increasing,
)
from tests.unit.hub.concert import Part, play

WRAP_33 = 2**33
WRAP_MS = 90 * 2**32
GOP = 24

bases = st.one_of(
    st.sampled_from([0, WRAP_33 - 90_000, WRAP_33 - 1, WRAP_MS - 180_000, -90_000]),
    st.integers(0, 2**40),
)
tracks = st.sampled_from([(VIDEO, AUDIO), (VIDEO,), (AUDIO,)])
pictures = st.sampled_from([{}, {"reorder": 2}, {"open_gop": True}])


def jitter(seed: int, most: float) -> Callable[[float], float]:
    """Any delay up to ``most`` seconds, another one every half second."""
    return lambda at: random.Random(seed * 1_000 + int(at * 2)).uniform(0, most)


faults = st.fixed_dictionaries(
    {},
    optional={
        "jitter": st.builds(jitter, st.integers(0, 99), st.sampled_from([0.05, 0.5, 1.2])),
        "drift_ppm": st.sampled_from([-200.0, 200.0]),
        "delay": st.floats(0, 0.5),
        "lost": st.builds(lambda a, b: ((a, a + b),), st.floats(0, 3), st.floats(0.05, 3)),
        "late": st.builds(lambda a, b: ((a, a + b),), st.floats(0, 3), st.floats(0.05, 3)),
        "silent_tracks": st.sampled_from([(0,), (1,)]),
        "twice": st.sampled_from([0.3, 5.0]),
        "pings": st.just(True),
        "ends_at": st.floats(0, 4),
    },
)
scenes = st.lists(
    st.fixed_dictionaries(
        {
            "seconds": st.floats(0.3, 4),
            "restart": st.sampled_from([None, None, None, LegName.PRIMARY, LegName.BACKUP]),
            LegName.PRIMARY: st.one_of(st.none(), faults),
            LegName.BACKUP: st.one_of(st.none(), faults),
        }
    ),
    min_size=2,
    max_size=6,
)


class Stage:
    """Legs that come and go; none of the scenes is long enough to end the session."""

    def __init__(self, formats: tuple[TrackFormat, ...], kind: dict[str, Any], **how: Any):
        self.world = World(
            backup=True,
            resume_window_seconds=1800,
            failback="AfterStable",
            failback_seconds=3,
        )
        self.reader = self.world.read()
        self._how = {"formats": formats, "gop": GOP, **kind, **how}
        self._legs: dict[LegName, Publisher] = {}
        self.made_at: dict[bytes, float] = {}

    def play(self, scene: dict[Any, Any], base: int) -> None:
        parts = []
        for name in LegName:
            what = scene[name]
            if what is None:
                continue
            parts.append(Part(self._leg(name, base), **what))
        restarted = self._legs.get(scene["restart"])
        if restarted is not None:
            restarted.first_dts = -restarted._position
        play(self.world, scene["seconds"], *parts)

    def _leg(self, name: LegName, base: int) -> Publisher:
        leg = self._legs.get(name)
        if leg is None or not leg.leg.connected:
            if leg is not None:
                self.made_at.update(leg.made_at)
            leg = self.world.publish(name=name, first_dts=base, **self._how)
            leg.made_at = self.made_at
            if AUDIO in leg.formats and VIDEO not in leg.formats:
                leg.leg.declare(has_video=False)
            self._legs[name] = leg
        return leg


def check(reader: VirtualReader, formats: tuple[TrackFormat, ...]) -> None:
    units = reader.units
    assert_strictly_increasing(units)
    assert not any(isinstance(record, TimelineEnd) for record in reader.records)
    assert len({form.timeline for form in reader.formats}) <= 1
    reference = 0 if VIDEO in formats else 1
    anchors = [anchor.dts for anchor in reader.anchors]
    before: dict[int, int] = {}
    for unit in units:
        if unit.track == 0:
            assert unit.is_random_access == (_number(unit) % GOP == 0)
        elif reference == 1:
            assert unit.is_random_access
        if unit.track == reference and unit.flags & UnitFlags.DISCONTINUITY:
            # Pictures may begin behind the splice, when it was made at a sound.
            assert any(before.get(unit.track, 0) < at <= unit.dts for at in anchors)
            assert unit.is_random_access
        before[unit.track] = unit.dts


def _number(unit: AccessUnit) -> int:
    return int(unit.payload.rsplit(b"/", 1)[1])


@given(scenes, bases, bases, tracks, pictures)
def test_whatever_two_legs_do_the_output_is_one_timeline(
    story: list[dict[Any, Any]],
    first_base: int,
    second_base: int,
    formats: tuple[TrackFormat, ...],
    kind: dict[str, Any],
) -> None:
    stage = Stage(formats, kind)
    for number, scene in enumerate(story):
        stage.play(scene, second_base if number % 2 else first_base)
    check(stage.reader, formats)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["primary ends", "backup ends", "both", "stall", "backup stalls"]),
            st.floats(1.2, 4),
        ),
        min_size=2,
        max_size=8,
    ),
    bases,
    st.sampled_from([{}, {"reorder": 2}]),
    st.floats(0, 0.4),
)
def test_identical_legs_never_repeat_a_unit(
    story: list[tuple[str, float]], base: int, kind: dict[str, Any], behind: float
) -> None:
    world = World(backup=True, resume_window_seconds=1800)
    reader = world.read()
    legs: dict[LegName, Publisher] = {}
    made = 0

    def connect(name: LegName) -> Publisher:
        """One encoder feeds both: a leg that comes back is where the encoder is."""
        publisher = world.publish(
            name=name, label="x", gop=GOP, first_dts=base if name is LegName.PRIMARY else 0, **kind
        )
        publisher._position = made
        publisher._picture = -(-made // publisher.frame)
        publisher._audio_frames = -(-made // 1_920)
        legs[name] = publisher
        return publisher

    for what, seconds in [("both", 3.0), *story, ("both", 3.0)]:
        for name in LegName:
            if name not in legs or not legs[name].leg.connected:
                connect(name)
        first, second = Part(legs[LegName.PRIMARY]), Part(legs[LegName.BACKUP], delay=behind)
        if what == "primary ends":
            first.ends_at = seconds / 2
        elif what == "backup ends":
            second.ends_at = seconds / 2
        elif what == "stall":
            first.late = ((0.3, seconds),)
        elif what == "backup stalls":
            second.late = ((0.3, seconds),)
        play(world, seconds, first, second)
        made += round(seconds * 90_000)
        world.pass_time(behind)
    payloads = [u.payload for u in reader.units]
    assert len(payloads) == len(set(payloads))
    assert_strictly_increasing(reader.units)


@pytest.mark.parametrize("seed", range(2))
def test_every_hole_in_the_content_is_a_gap_in_the_timeline(seed: int) -> None:
    """A short soak: minutes of faults, with clocks that pass 2^33."""
    dice = random.Random(seed)
    stage = Stage((VIDEO, AUDIO), dice.choice([{}, {"reorder": 2}]))
    for _ in range(60):
        seconds = dice.uniform(1, 6)
        scene: dict[Any, Any] = {"seconds": seconds, "restart": None}
        for name in LegName:
            fault: dict[str, Any] = {}
            start = dice.uniform(0, seconds)
            span = (start, min(seconds, start + dice.uniform(0.2, 3)))
            match dice.randrange(7):
                case 0:
                    fault = {"lost": ((0.0, 99.0),)}
                case 1:
                    fault = {"lost": (span,)}
                case 2:
                    fault = {"late": (span,)}
                case 3:
                    fault = {"ends_at": start}
                case _:
                    pass
            scene[name] = fault
        stage.play(scene, WRAP_33 - dice.randrange(20 * 90_000))
    reader = stage.reader
    check(reader, (VIDEO, AUDIO))
    gaps = {r.dts: r.wall_seconds for r in reader.records if isinstance(r, TimelineGap)}
    made_at = {p: at for leg in stage._legs.values() for p, at in leg.made_at.items()}
    pictures_out = [u for u in reader.units if u.track == 0]
    for before, after in pairwise(pictures_out):
        media = (after.dts - before.dts) / 90_000
        missing = made_at[after.payload] - made_at[before.payload] - media
        if missing > 0.3:
            assert gaps[after.dts] == pytest.approx(missing, abs=0.5)
