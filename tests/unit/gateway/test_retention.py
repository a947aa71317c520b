"""What is kept for the next hub: headers, and everything from the random access before the ack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.codecs import h264, hevc
from sluice_media.formats.units import AccessUnit, TrackFormat
from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.retention import Retention
from sluice_media.timeline.leg_framing import LegDecoder, LegFormats
from tests.support import flv_samples as s
from tests.support.flv_leg import FlvLeg

GOP_MS = 1_000


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Pictures every 100 ms, an IDR every second, sound in between."""

    def __init__(
        self, *, start_ms: int = 0, video: bool = True, sound_base_ms: int = 0, **limits: float
    ) -> None:
        self.clock = Clock()
        self.kept = Retention(
            limits.get("seconds", 60),
            int(limits.get("bytes", 1 << 20)),
            self.clock,
            RetentionBudget(1 << 30),
        )
        self.leg = FlvLeg(self.clock)
        self.start_ms = start_ms
        self.ms = start_ms
        self.video = video
        self.sound_base_ms = sound_base_ms
        """How far the clock of the sound is ahead of the pictures'."""
        if video:
            self.add(9, s.avc_config())
        self.add(8, s.aac_config())

    def add(self, type_id: int, payload: bytes, ahead: int = 0) -> None:
        records = self.leg.feed(type_id, self.ms + ahead, payload)
        assert records
        for record in records:
            self.kept.add(record)

    def config(self, payload: bytes) -> None:
        """A sequence header, which may say what is known."""
        for record in self.leg.feed(9, self.ms, payload):
            self.kept.add(record)

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            if self.video:
                idr = (self.ms - self.start_ms) % GOP_MS == 0
                self.add(9, s.avc(s.IDR if idr else s.PICTURE))
            self.add(8, s.aac(), ahead=self.sound_base_ms + 50)
            self.ms += 100
            self.clock.now += 0.1

    def keyframe(self, config: bytes) -> None:
        """A keyframe that brings the parameter sets of a configuration, in place of the next."""
        sets = h264.parse_avcc(config)
        self.add(9, s.avc(s.sample(*sets.sps, *sets.pps, s.IDR[4:])))
        self.ms += 100

    def widths(self) -> list[int]:
        """Of the pictures' formats, in their order."""
        return [f.width for f in self.replayed()[0] if f.track == 0]

    def replayed(self) -> tuple[list[TrackFormat], list[AccessUnit]]:
        """The formats, each where it differs from the one before in its track, and the units."""
        events = list(LegDecoder().feed(b"".join(self.kept.replay()), 0))
        formats: list[TrackFormat] = []
        in_force: dict[int, TrackFormat] = {}
        for event in events:
            for format_ in event.formats if isinstance(event, LegFormats) else ():
                if in_force.get(format_.track) != format_:
                    in_force[format_.track] = format_
                    formats.append(format_)
        return formats, [e for e in events if isinstance(e, AccessUnit)]

    def pictures(self) -> list[int]:
        return [u.dts // 90 for u in self.replayed()[1] if u.track == 0]


def test_without_an_ack_everything_is_kept() -> None:
    source = Source()
    source.run(5)
    formats, _ = source.replayed()
    assert len(formats) == 2
    assert source.pictures() == list(range(0, 5_000, 100))


def test_an_ack_drops_what_lies_before_its_random_access_point() -> None:
    source = Source()
    source.run(5)
    source.kept.acknowledge(3_400 * 90)
    formats, units = source.replayed()
    assert len(formats) == 2
    assert units[0].is_random_access
    assert source.pictures() == list(range(3_000, 5_000, 100))
    source.kept.acknowledge(100 * 90)  # an old one changes nothing
    assert source.pictures()[0] == 3_000


def test_sound_that_runs_ahead_of_the_pictures_is_not_lost() -> None:
    source = Source()
    source.run(1)
    source.add(8, s.aac(), ahead=900)  # arrives before the IDR at 1 s, sounds after it
    source.run(1)
    source.kept.acknowledge(1_200 * 90)
    assert 1_900 in [u.dts // 90 for u in source.replayed()[1] if u.track == 1]


@pytest.mark.parametrize("base_ms", [3_600_000, -3_600_000], ids=["ahead", "behind"])
@pytest.mark.parametrize("first", ["sound", "pictures"])
def test_sound_of_another_clock_does_not_keep_what_is_acknowledged(
    base_ms: int, first: str
) -> None:
    source = Source(start_ms=4_000_000, sound_base_ms=base_ms)
    if first == "sound":
        source.add(8, s.aac(), ahead=base_ms)
    source.run(8)
    source.kept.acknowledge((source.start_ms + 6_500) * 90)
    assert source.pictures()[0] == source.start_ms + 6_000
    sound = [u.dts // 90 for u in source.replayed()[1] if u.track == 1]
    assert abs(sound[-1] - source.ms) <= 200


def test_headers_are_those_of_the_first_picture_that_is_kept() -> None:
    source = Source()
    source.run(2)
    source.add(9, s.avc_config(s.AVCC_1080))
    source.run(2)
    source.kept.acknowledge(1_500 * 90)
    before, _ = source.replayed()
    assert [f.config for f in before if f.track == 0] == [s.AVCC, s.AVCC_1080]
    source.kept.acknowledge(2_500 * 90)
    after, _ = source.replayed()
    assert [f.config for f in after if f.track == 0] == [s.AVCC_1080]


def test_parameter_sets_that_one_keyframe_changed_are_there_without_that_keyframe() -> None:
    source = Source()
    source.run(2)
    source.keyframe(s.AVCC_1080)
    source.run(3.9)
    source.kept.acknowledge(4_500 * 90)
    assert source.pictures()[0] == 4_000
    assert source.widths() == [1920]
    source.ms += 100
    source.keyframe(s.AVCC)  # back to what the sequence header says
    source.run(2.9)
    assert source.widths() == [1920, 640]
    source.kept.acknowledge(7_500 * 90)
    assert source.widths() == [640]


def test_parameter_sets_of_a_keyframe_count_also_when_no_group_is_kept() -> None:
    source = Source(bytes=10_000)
    source.keyframe(s.AVCC_1080)
    source.run(1.4)
    source.add(9, s.avc(s.PICTURE + s.sample(bytes(20_000))))
    source.run(0.3)
    assert source.pictures() == []
    assert source.widths() == [1920]


def test_keyframes_that_repeat_their_parameter_sets_are_replayed_as_they_came() -> None:
    source = Source()
    for _ in range(4):
        source.config(s.avc_config())  # and so is a sequence header that says otherwise
        source.keyframe(s.AVCC_1080)
        source.run(0.9)
    source.kept.acknowledge(2_500 * 90)
    assert source.pictures()[0] == 2_000
    assert source.widths() == [1920]


def test_a_new_sequence_header_puts_an_end_to_what_keyframes_said() -> None:
    source = Source()
    source.keyframe(s.AVCC_1080)
    source.run(1.9)
    source.ms += 100
    source.add(9, s.avc_config(s.AVCC + b"\0"))
    source.run(2)
    source.kept.acknowledge(3_500 * 90)
    assert source.widths() == [640]


def test_parameter_sets_that_one_hevc_keyframe_changed_are_there_without_it() -> None:
    source = Source(video=False)
    told = hevc.parse_hvcc(s.hvcc())
    pps = told.pps[0] + b"\x80"
    source.add(9, b"\x90hvc1" + s.hvcc())
    for nals in ((), (*told.vps, *told.sps, pps), (), ()):
        source.add(9, b"\x93hvc1" + s.sample(*nals, s.HEVC_IDR[4:]))
        source.ms += 1_000
    source.kept.acknowledge(2_500 * 90)
    formats, units = source.replayed()
    assert [hevc.parse_hvcc(f.config).pps for f in formats if f.track == 0] == [(pps,)]
    assert [u.dts // 90 for u in units] == [2_000, 3_000]


def test_beyond_the_limit_of_time_whole_groups_are_dropped_and_counted() -> None:
    source = Source(seconds=3)
    source.run(8)
    assert source.kept.dropped_groups == 5
    assert source.pictures() == list(range(5_000, 8_000, 100))


def test_beyond_the_limit_of_bytes_whole_groups_are_dropped_and_counted() -> None:
    two = Source()
    two.run(1)
    first = two.kept.size
    two.run(1)
    group = two.kept.size - first
    source = Source(bytes=3.5 * group)
    source.run(10)
    assert source.kept.size <= 3.5 * group
    assert source.kept.dropped_groups == 7
    assert source.pictures()[0] == 7_000


def test_a_group_over_the_limit_is_dropped_and_the_next_one_kept() -> None:
    source = Source(bytes=10_000)
    source.run(0.5)
    source.add(9, s.avc(s.PICTURE + s.sample(bytes(20_000))))
    source.run(0.4)
    assert source.pictures() == []
    assert source.kept.size == 0
    source.ms = 1_000
    source.run(0.3)
    assert source.pictures() == [1_000, 1_100, 1_200]


def test_a_stream_without_video_is_kept_by_the_second() -> None:
    source = Source(video=False)
    source.run(10)
    source.kept.acknowledge(6_500 * 90)
    times = [u.dts // 90 for u in source.replayed()[1]]
    assert 5_000 < times[0] <= 6_500
    assert times[-1] == 9_950


def test_a_source_on_air_for_49_days_is_kept_in_unwrapped_times() -> None:
    source = Source(start_ms=(1 << 32) - 3_000)
    source.run(2)
    assert source.kept.first_dts == ((1 << 32) - 3_000) * 90
    source.run(4)
    source.kept.acknowledge(((1 << 32) + 1_500) * 90)
    assert source.kept.first_dts == ((1 << 32) + 1_000) * 90
    assert source.pictures()[0] == (1 << 32) + 1_000


@pytest.mark.parametrize("jump_ms", [-20_000, -900, 11_000, 1 << 31])
def test_what_is_kept_has_no_jump_of_the_source_in_it(jump_ms: int) -> None:
    source = Source(start_ms=100_000)
    source.run(2.5)
    source.ms += jump_ms
    source.run(4)
    assert source.pictures() == list(range(100_000, 106_500, 100))
    sound = [u.dts // 90 for u in source.replayed()[1] if u.track == 1]
    assert sound == list(range(100_050, 106_550, 100))
    source.kept.acknowledge(104_700 * 90)
    assert source.pictures()[0] <= 104_000


@given(st.lists(st.integers(0, 12_000), max_size=6), st.integers(1, 12))
def test_nothing_after_an_ack_is_ever_missing(acks: list[int], seconds: int) -> None:
    source = Source()
    highest = 0
    for ack in acks:
        source.run(seconds / 3)
        highest = max(highest, min(ack, source.ms))
        source.kept.acknowledge(min(ack, source.ms) * 90)
        units = source.replayed()[1]
        kept = [u.dts // 90 for u in units if u.track == 0]
        assert kept == list(range(kept[0], source.ms, 100)) if kept else source.ms == 0
        assert not kept or kept[0] <= highest
        replay = source.kept.replay()
        assert sum(map(len, replay)) - source.kept.size in (0, len(replay[0]))
