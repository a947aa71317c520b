"""Other tracks in the middle of a GOP: every picture is in a file, and what is in none is said."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from sluice_media.contract import TrackInfo
from sluice_media.formats.units import AccessUnit
from sluice_media.record.effects import Changed, Rules, Write
from sluice_media.record.plan import PlannedFile, Restored, us_of
from tests.unit.record.timeline_script import (
    AUDIO,
    FRAME,
    OTHER_VIDEO,
    START,
    VIDEO,
    Scene,
    seconds,
)

OTHER_AUDIO = AUDIO.model_copy(update={"sample_rate": 44_100, "config": "EhA="})
GOP_SECONDS = 10
TEN_SECONDS_OF_PICTURES = 250


def picture_and_sound(scene: Scene, first: float, last: float, *, sound: bool = True) -> None:
    """25 pictures a second with a GOP of 10 s; a frame of sound comes 20 ms behind each."""
    for frame in range(round(first * 25), round(last * 25)):
        scene.dts = frame * FRAME
        scene.now = START + timedelta(seconds=frame / 25)
        scene.unit(key=frame % (GOP_SECONDS * 25) == 0)
        if sound:
            scene.unit(track=1, dts=scene.dts + FRAME // 2)


def units_of(scene: Scene, index: int, track: int) -> list[int]:
    found: list[AccessUnit] = []
    for effect in scene.effects:
        if isinstance(effect, Write) and effect.file.index == index:
            found += effect.units
    return [unit.dts for unit in found if unit.track == track]


def gaps_of(scene: Scene, index: int) -> list[tuple[float, float]]:
    return [(g.at_seconds, g.wall_seconds) for g in scene.machine.files[index - 1].gaps]


def changed_at(
    when: float, before: tuple[TrackInfo, ...], after: tuple[TrackInfo, ...], until: float
) -> Scene:
    scene = Scene().format(*before)
    picture_and_sound(scene, 0, when, sound=AUDIO in before)
    scene.format(*after)
    picture_and_sound(scene, when, until, sound=len(after) > 1)
    return scene


def test_sound_that_appears_in_mid_gop_costs_no_picture_and_is_a_gap_until_the_keyframe() -> None:
    scene = changed_at(42, (VIDEO,), (VIDEO, AUDIO), 60)
    assert scene.ended == ["ParametersChanged"]
    assert units_of(scene, 1, 0) + units_of(scene, 2, 0) == [n * FRAME for n in range(60 * 25)]
    assert units_of(scene, 2, 0)[0] == seconds(50)
    assert units_of(scene, 1, 1) == []
    assert units_of(scene, 2, 1)[0] == seconds(50.02)
    assert gaps_of(scene, 1) == [(42.02, 7.98)]
    assert [f.duration_seconds for f in scene.machine.files] == [50, pytest.approx(10.02)]


def test_other_sound_in_mid_gop_is_a_gap_until_the_keyframe() -> None:
    scene = changed_at(12, (VIDEO, AUDIO), (VIDEO, OTHER_AUDIO), 30)
    assert len(units_of(scene, 1, 0)) == 2 * TEN_SECONDS_OF_PICTURES
    assert units_of(scene, 1, 1)[-1] < seconds(12) <= seconds(20) < units_of(scene, 2, 1)[0]
    assert gaps_of(scene, 1) == [(12.02, 7.98)]


def test_sound_that_is_gone_ends_the_file_at_the_keyframe() -> None:
    scene = changed_at(12, (VIDEO, AUDIO), (VIDEO,), 30)
    assert len(units_of(scene, 1, 0)) == 2 * TEN_SECONDS_OF_PICTURES
    assert gaps_of(scene, 1) == []


def test_pictures_that_no_file_can_decode_are_a_gap_and_the_sound_goes_on() -> None:
    scene = changed_at(12, (VIDEO, AUDIO), (OTHER_VIDEO, AUDIO), 30)
    assert units_of(scene, 1, 0)[-1] == seconds(12) - FRAME
    assert units_of(scene, 2, 0)[0] == seconds(20)
    sound = units_of(scene, 1, 1) + units_of(scene, 2, 1)
    assert len(sound) == 30 * 25
    assert all(after - before == FRAME for before, after in pairwise(sound))
    assert gaps_of(scene, 1) == [(12.0, 8.0)]


def test_a_change_with_its_keyframe_leaves_nothing_out() -> None:
    scene = changed_at(20, (VIDEO, AUDIO), (OTHER_VIDEO, AUDIO), 30)
    assert len(units_of(scene, 1, 0)) == 2 * TEN_SECONDS_OF_PICTURES
    assert gaps_of(scene, 1) == []


def test_sound_that_came_before_the_keyframe_it_belongs_to_is_in_the_next_file() -> None:
    scene = Scene().format(VIDEO)
    picture_and_sound(scene, 0, 42, sound=False)
    scene.format(VIDEO, AUDIO)
    picture_and_sound(scene, 42, 50, sound=False)
    scene.unit(track=1, dts=seconds(49.99)).unit(track=1, dts=seconds(50.01))
    scene.unit(dts=seconds(50), key=True)
    assert units_of(scene, 2, 1) == [seconds(50.01)]
    assert gaps_of(scene, 1) == [(49.99, 0.01)]


def test_sound_that_is_gone_again_before_the_keyframe_is_a_gap_in_the_same_file() -> None:
    scene = changed_at(42, (VIDEO,), (VIDEO, AUDIO), 44)
    scene.format(VIDEO)
    picture_and_sound(scene, 44, 60, sound=False)
    assert scene.ended == []
    assert len(units_of(scene, 1, 0)) == 60 * 25
    assert gaps_of(scene, 1) == [(42.02, 1.98)]
    assert any(isinstance(e, Changed) for e in scene.effects)


def test_a_stop_before_the_keyframe_says_what_is_missing() -> None:
    scene = changed_at(42, (VIDEO,), (VIDEO, AUDIO), 44)
    scene.stop().wait(3)
    assert scene.ended == ["Stopped"]
    assert len(units_of(scene, 1, 0)) == 44 * 25
    assert gaps_of(scene, 1) == [(42.02, 2.0)], "50 frames of sound of 40 ms each"


def test_an_attempt_that_begins_in_mid_gop_goes_on_with_the_pictures() -> None:
    file = PlannedFile(1, "t1", 0, START, START, [VIDEO], {0: seconds(42) - FRAME}, seconds(42))
    file.last_utc_us = us_of(START + timedelta(seconds=42))
    scene = Scene(Rules(START), Restored([file])).format(VIDEO, AUDIO)
    picture_and_sound(scene, 42, 55)
    assert units_of(scene, 1, 0) == [seconds(42) + n * FRAME for n in range(8 * 25)]
    assert units_of(scene, 2, 0)[0] == seconds(50)
    assert gaps_of(scene, 1) == [(42.02, 7.98)]
