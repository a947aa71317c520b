"""Units to tags and back: nothing but the rounding to milliseconds is lost."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.events import Metadata
from sluice_media.formats.flv import FlvDemuxer, FlvMuxer, FlvTag, TagType, metadata_payload
from sluice_media.formats.flv.demux import parse_metadata
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from tests.support import flv_samples as s

H264 = TrackFormat(0, TrackKind.VIDEO, Codec.H264, s.AVCC, width=640, height=360)
HEVC = TrackFormat(0, TrackKind.VIDEO, Codec.HEVC, s.hvcc(), width=640, height=362)
AAC = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, s.ASC_44100_STEREO, sample_rate=44_100, channels=2)


def picture(dts: int, pts: int, *, random_access: bool = False, hevc: bool = False) -> AccessUnit:
    payload = s.IDR if random_access else s.PICTURE
    if hevc:
        payload = s.HEVC_IDR if random_access else s.HEVC_PICTURE
    flags = UnitFlags.RANDOM_ACCESS if random_access else UnitFlags.NONE
    return AccessUnit(0, dts, pts, flags, 0, payload)


def sound(dts: int) -> AccessUnit:
    return AccessUnit(1, dts, dts, UnitFlags.NONE, 0, s.SOUND)


def tag_of(muxer: FlvMuxer, unit: AccessUnit) -> FlvTag:
    tag = muxer.unit(unit)
    assert tag is not None
    return tag


def test_start_writes_metadata_and_sequence_headers() -> None:
    script, video, audio = FlvMuxer().start([H264, AAC])
    assert parse_metadata(script.payload) == Metadata(
        640, 360, None, "Sluice", declares_video=True, declares_audio=True
    )
    assert video == FlvTag(TagType.VIDEO, 0, s.avc_config())
    assert audio == FlvTag(TagType.AUDIO, 0, s.aac_config())


def test_metadata_names_only_the_tracks_that_are_there() -> None:
    found = parse_metadata(metadata_payload([AAC]))
    assert found is not None
    assert (found.declares_video, found.declares_audio) == (False, True)


def test_a_base_far_from_0_is_taken_off() -> None:
    muxer = FlvMuxer()
    muxer.start([H264])
    base = (1 << 33) + 12_345
    assert tag_of(muxer, picture(base, base + 3_600, random_access=True)).timestamp_ms == 0
    assert tag_of(muxer, picture(base + 3_600, base + 3_600)).timestamp_ms == 40


def test_times_never_go_backwards_even_where_units_do() -> None:
    muxer = FlvMuxer()
    muxer.start([H264, AAC])
    tag_of(muxer, picture(90_000, 90_000, random_access=True))
    tag_of(muxer, picture(99_000, 99_000))
    assert tag_of(muxer, picture(94_500, 99_000)).timestamp_ms == 100
    assert tag_of(muxer, sound(0)).timestamp_ms == 0


def test_a_unit_of_an_unknown_track_is_left_out() -> None:
    muxer = FlvMuxer()
    muxer.start([H264])
    assert muxer.unit(sound(0)) is None


def test_new_formats_are_announced_at_the_present_time() -> None:
    muxer = FlvMuxer()
    muxer.start([H264])
    tag_of(muxer, picture(0, 0, random_access=True))
    tag_of(muxer, picture(90_000, 90_000))
    assert {t.timestamp_ms for t in muxer.start([HEVC])} == {1_000}


steps = st.lists(
    st.tuples(st.integers(1, 9_000), st.integers(-3, 5), st.booleans()), min_size=1, max_size=40
)


@given(steps, st.booleans(), st.integers(0, 1 << 34))
def test_what_is_muxed_is_demuxed_to_the_same_units(
    given_steps: list[tuple[int, int, bool]], hevc: bool, base: int
) -> None:
    muxer, demuxer = FlvMuxer(), FlvDemuxer()
    formats = [HEVC if hevc else H264, AAC]
    tags = muxer.start(formats)
    units = []
    dts = base
    for step, frames, random_access in given_steps:
        units.append(picture(dts, dts + frames * 3_600, random_access=random_access, hevc=hevc))
        tags.append(tag_of(muxer, units[-1]))
        dts += step
    events = [e for t in tags for e in demuxer.feed(t.type_id, t.timestamp_ms, t.payload, 0)]
    got = [e for e in events if isinstance(e, AccessUnit)]
    assert demuxer.formats == tuple(formats)
    assert [(u.payload, u.flags) for u in got] == [(u.payload, u.flags) for u in units]
    for mine, theirs in zip(units, got, strict=True):
        assert abs(mine.dts - base - theirs.dts) <= 45
        assert abs(mine.pts - base - theirs.pts) <= 45
    assert all(a.dts <= b.dts for a, b in itertools.pairwise(got))


def test_audio_keeps_its_sample_count_through_milliseconds() -> None:
    muxer, demuxer = FlvMuxer(), FlvDemuxer()
    tags = muxer.start([AAC])
    want = [n * 1024 * 90_000 // 44_100 for n in range(3_000)]
    tags += (tag_of(muxer, sound(dts)) for dts in want)
    events = [e for t in tags for e in demuxer.feed(t.type_id, t.timestamp_ms, t.payload, 0)]
    assert [e.dts for e in events if isinstance(e, AccessUnit)] == want
