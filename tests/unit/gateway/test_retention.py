"""What is kept for the next hub: headers, and everything from the random access before the ack."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.flv import FILE_HEADER, FlvDemuxer, TagReader
from sluice_media.gateway.flv_parts import FlvParts
from sluice_media.gateway.retention import Retention
from sluice_media.rtmp import Media
from sluice_media.units import AccessUnit, TrackFormat
from tests.unit.flv import samples as s

GOP_MS = 1_000


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Pictures every 100 ms, an IDR every second, sound in between."""

    def __init__(self, *, start_ms: int = 0, video: bool = True, **limits: float) -> None:
        self.clock = Clock()
        self.kept = Retention(
            limits.get("seconds", 60), int(limits.get("bytes", 1 << 20)), self.clock
        )
        self.parts = FlvParts()
        self.start_ms = start_ms
        self.ms = start_ms
        self.video = video
        if video:
            self.add(9, s.avc_config())
        self.add(8, s.aac_config())

    def add(self, type_id: int, payload: bytes, ahead: int = 0) -> None:
        media = Media(type_id, (self.ms + ahead) & 0xFFFFFFFF, payload)
        self.kept.add(self.parts.encode(media))

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 10)):
            if self.video:
                idr = (self.ms - self.start_ms) % GOP_MS == 0
                self.add(9, s.avc(s.IDR if idr else s.PICTURE))
            self.add(8, s.aac(), ahead=50)
            self.ms += 100
            self.clock.now += 0.1

    def replayed(self) -> tuple[list[TrackFormat], list[AccessUnit]]:
        demuxer = FlvDemuxer()
        tags = TagReader().feed(FILE_HEADER + b"".join(self.kept.replay()))
        events = [e for t in tags for e in demuxer.feed(t.type_id, t.timestamp_ms, t.payload, 0)]
        formats = [e for e in events if isinstance(e, TrackFormat)]
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


def test_beyond_the_limit_of_time_whole_groups_are_dropped_and_counted() -> None:
    source = Source(seconds=3)
    source.run(8)
    assert source.kept.dropped_groups == 5
    assert source.pictures() == list(range(5_000, 8_000, 100))


def test_beyond_the_limit_of_bytes_whole_groups_are_dropped_and_counted() -> None:
    one = Source()
    one.run(1)
    source = Source(bytes=3.5 * one.kept.size)
    source.run(10)
    assert source.kept.size <= 3.5 * one.kept.size
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
    assert source.pictures()[0] == 1_000


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
        headers = sum(map(len, source.kept.replay())) - source.kept.size
        assert 0 <= headers <= 2 * 15 + len(s.avc_config()) + len(s.aac_config())
