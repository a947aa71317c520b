"""Tags in, formats and units out: codecs, times, random access, and what is left out."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats import amf0
from sluice_media.formats.errors import MediaError, UnsupportedCodec
from sluice_media.formats.events import DemuxEvent, Metadata
from sluice_media.formats.flv import FlvDemuxer
from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from tests.support import flv_samples as s

AUDIO, VIDEO, SCRIPT = 8, 9, 18


class Source:
    def __init__(self) -> None:
        self.demuxer = FlvDemuxer()

    def send(self, type_id: int, ms: int, payload: bytes) -> list[DemuxEvent]:
        return self.demuxer.feed(type_id, ms, payload, 7)

    def unit(self, type_id: int, ms: int, payload: bytes) -> AccessUnit:
        (event,) = self.send(type_id, ms, payload)
        assert isinstance(event, AccessUnit)
        return event


@pytest.fixture
def source() -> Source:
    source = Source()
    source.send(VIDEO, 0, s.avc_config())
    source.send(AUDIO, 0, s.aac_config())
    return source


def test_configurations_become_formats_once() -> None:
    source = Source()
    assert source.send(VIDEO, 0, s.avc_config()) == [
        TrackFormat(0, TrackKind.VIDEO, Codec.H264, s.AVCC, width=640, height=360)
    ]
    (audio,) = source.send(AUDIO, 0, s.aac_config())
    assert audio == TrackFormat(
        1, TrackKind.AUDIO, Codec.AAC, s.ASC_44100_STEREO, sample_rate=44_100, channels=2
    )
    assert source.send(VIDEO, 50, s.avc_config()) == []
    assert source.send(AUDIO, 50, s.aac_config()) == []
    (changed,) = source.send(VIDEO, 100, s.avc_config(s.AVCC_1080))
    assert isinstance(changed, TrackFormat)
    assert (changed.width, changed.height) == (1920, 1080)
    assert source.demuxer.formats == (changed, audio)


def test_pictures_carry_signed_composition_times_and_their_arrival(source: Source) -> None:
    unit = source.unit(VIDEO, 1_000, s.avc(s.IDR, 80, keyframe=True))
    assert (unit.track, unit.dts, unit.pts, unit.utc_us) == (0, 90_000, 97_200, 7)
    assert unit.payload == s.IDR
    assert unit.is_random_access
    early = source.unit(VIDEO, 1_040, s.avc(s.PICTURE, -40))
    assert early.pts == 90_000
    assert not early.is_random_access


def test_random_access_is_read_from_the_bitstream_not_from_the_frame_type(source: Source) -> None:
    assert source.unit(VIDEO, 0, s.avc(s.RECOVERY_POINT)).is_random_access
    assert not source.unit(VIDEO, 40, s.avc(s.PICTURE, keyframe=True)).is_random_access


def test_units_before_their_configuration_are_left_out_and_counted() -> None:
    source = Source()
    assert source.send(VIDEO, 0, s.avc(s.IDR)) == []
    assert source.send(AUDIO, 0, s.aac()) == []
    assert source.demuxer.dropped_units == 2


def test_a_damaged_picture_is_left_out_and_flagged_in_the_next(source: Source) -> None:
    assert source.send(VIDEO, 0, s.avc(s.IDR[:-1])) == []
    assert source.unit(VIDEO, 40, s.avc(s.PICTURE)).flags == UnitFlags.DISCONTINUITY
    assert source.unit(VIDEO, 80, s.avc(s.PICTURE)).flags == UnitFlags.NONE
    assert source.demuxer.dropped_units == 1


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x17", b"\x17\x02\x00\x00\x00", b"\x17\x01\x00\x00\x00", b"\x57\x00", b"\x92hvc1"],
    ids=["empty", "one byte", "end of sequence", "no picture", "command", "enhanced end"],
)
def test_what_carries_no_picture_is_passed_over(source: Source, payload: bytes) -> None:
    assert source.send(VIDEO, 0, payload) == []
    assert source.demuxer.dropped_units == 0


def test_audio_at_44100_hz_is_counted_in_samples(source: Source) -> None:
    ms = [round(n * 1024_000 / 44_100) for n in range(2_000)]
    times = [source.unit(AUDIO, t, s.aac()).pts for t in ms]
    assert times == [n * 1024 * 90_000 // 44_100 for n in range(2_000)]


def test_audio_that_drifts_or_jumps_is_set_anew_beyond_2_ms(source: Source) -> None:
    assert source.unit(AUDIO, 1_000, s.aac()).dts == 90_000
    within = source.unit(AUDIO, 1_025, s.aac()).dts
    assert within == 90_000 + 1024 * 90_000 // 44_100
    assert source.unit(AUDIO, 1_100, s.aac()).dts == 99_000
    assert source.unit(AUDIO, 500, s.aac()).dts == 45_000


def test_times_go_on_across_the_wrap_of_32_bits(source: Source) -> None:
    before = source.unit(VIDEO, 0xFFFFFFF0, s.avc(s.IDR)).dts
    after = source.unit(VIDEO, 0x18, s.avc(s.PICTURE)).dts
    assert after - before == 40 * 90
    assert source.unit(VIDEO, 0xFFFFFFFC, s.avc(s.PICTURE)).dts == before + 12 * 90


def test_metadata_and_headers_with_time_0_do_not_disturb_the_clock(source: Source) -> None:
    source.unit(VIDEO, 0xF0000000, s.avc(s.IDR))
    source.send(SCRIPT, 0, amf0.encode("onMetaData", {}))
    source.send(VIDEO, 0, s.avc_config(s.AVCC_1080))
    assert source.unit(VIDEO, 0xF0000028, s.avc(s.PICTURE)).dts == 0xF0000028 * 90


HVC1 = b"hvc1"


def hevc_source() -> Source:
    source = Source()
    (found,) = source.send(VIDEO, 0, b"\x90" + HVC1 + s.hvcc())
    assert isinstance(found, TrackFormat)
    assert (found.codec, found.width, found.height) == (Codec.HEVC, 640, 362)
    return source


def test_enhanced_hevc_with_and_without_composition_time() -> None:
    source = hevc_source()
    first = source.unit(VIDEO, 0, b"\x91" + HVC1 + b"\x00\x00\x28" + s.HEVC_IDR)
    assert (first.pts, first.is_random_access, first.payload) == (3_600, True, s.HEVC_IDR)
    second = source.unit(VIDEO, 40, b"\xa3" + HVC1 + s.HEVC_PICTURE)
    assert (second.pts, second.is_random_access) == (3_600, False)


def test_legacy_hevc_with_codec_id_12() -> None:
    source = Source()
    source.send(VIDEO, 0, b"\x1c\x00\x00\x00\x00" + s.hvcc())
    assert source.unit(VIDEO, 0, b"\x1c\x01\x00\x00\x00" + s.HEVC_IDR).is_random_access


def test_mod_ex_before_the_packet_is_skipped() -> None:
    source = hevc_source()
    short = b"\x97" + b"\x02" + b"\x00\x01\x02" + b"\x03" + HVC1 + s.HEVC_IDR
    assert source.unit(VIDEO, 0, short).payload == s.HEVC_IDR
    long = b"\x97" + b"\xff\x01\x03" + bytes(260) + b"\x03" + HVC1 + s.HEVC_IDR
    assert source.unit(VIDEO, 0, long).payload == s.HEVC_IDR
    assert source.send(VIDEO, 0, b"\x97" + b"\x00\x00\x07" * 12) == []


def track(number: int, body: bytes, fourcc: bytes = b"") -> bytes:
    return fourcc + bytes((number,)) + len(body).to_bytes(3, "big") + body


def test_of_multitrack_only_the_first_track_is_taken() -> None:
    source = hevc_source()
    many = b"\x96\x13" + HVC1 + track(1, b"other") + track(0, s.HEVC_IDR)
    assert source.unit(VIDEO, 0, many).payload == s.HEVC_IDR
    codecs = b"\x96\x23" + track(1, b"other", b"av01") + track(0, s.HEVC_IDR, HVC1)
    assert source.unit(VIDEO, 0, codecs).payload == s.HEVC_IDR
    one = b"\x96\x03" + HVC1 + b"\x00" + s.HEVC_IDR
    assert source.unit(VIDEO, 0, one).payload == s.HEVC_IDR
    assert source.send(VIDEO, 0, b"\x96\x13" + HVC1 + track(2, b"other")) == []
    assert source.send(VIDEO, 0, b"\x96\x13" + HVC1 + b"\x00\xff\xff\xff") == []


def test_enhanced_audio_is_aac_or_left_out() -> None:
    source = Source()
    source.send(AUDIO, 0, b"\x90mp4a" + s.ASC_48000_STEREO)
    assert source.unit(AUDIO, 0, b"\x91mp4a" + s.SOUND).payload == s.SOUND
    assert source.send(AUDIO, 0, b"\x91Opus" + s.SOUND) == []
    assert source.demuxer.left_out == "Opus"
    assert source.unit(AUDIO, 40, b"\x91mp4a" + s.SOUND).payload == s.SOUND
    assert source.demuxer.left_out == ""


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (b"\x2f\x00\x00", "MP3"),
        (b"\xb6\x00\x00", "Speex"),
        (b"\x91Opus....", "Opus"),
        (b"\x91ac-3....", "ac-3"),
    ],
)
def test_sound_that_is_not_carried_does_not_cost_the_picture(payload: bytes, name: str) -> None:
    source = Source()
    source.send(VIDEO, 0, s.avc_config())
    assert source.send(AUDIO, 0, payload) == []
    assert source.unit(VIDEO, 40, s.avc(s.IDR)).is_random_access
    assert source.demuxer.left_out == name


def test_sound_that_is_not_carried_and_no_picture_is_refused() -> None:
    source = Source()
    source.send(SCRIPT, 0, amf0.encode("onMetaData", {"audiocodecid": 2.0}))
    with pytest.raises(UnsupportedCodec, match="MP3"):
        source.send(AUDIO, 0, b"\x2f\x00\x00")


@pytest.mark.parametrize(
    ("type_id", "payload", "name"),
    [
        (VIDEO, b"\x12\x00\x00\x00\x00", "H.263"),
        (VIDEO, b"\x90av01" + bytes(8), "av01"),
        (VIDEO, b"\x96\x10" + b"vp09" + track(0, bytes(9)), "vp09"),
    ],
)
def test_codecs_that_are_not_carried_are_refused_by_name(
    type_id: int, payload: bytes, name: str
) -> None:
    with pytest.raises(UnsupportedCodec, match=name):
        Source().send(type_id, 0, payload)


def test_a_broken_configuration_is_told_in_a_sentence() -> None:
    with pytest.raises(MediaError, match="h264 configuration is broken"):
        Source().send(VIDEO, 0, s.avc_config(b"\x01\x64\x00"))


def test_metadata_is_read_as_hints() -> None:
    given_metadata = amf0.EcmaArray(
        width=640.0, height=360.0, framerate=25.0, videocodecid=7.0, encoder="obs"
    )
    want = Metadata(640, 360, 25.0, "obs", declares_video=True, declares_audio=False)
    plain = amf0.encode("onMetaData", given_metadata)
    assert Source().send(SCRIPT, 0, plain) == [want]
    assert Source().send(SCRIPT, 0, amf0.encode("@setDataFrame") + plain) == [want]
    assert Source().send(SCRIPT, 0, amf0.encode("onTextData", {})) == []
    assert Source().send(SCRIPT, 0, b"\x02\xff") == []
    odd = amf0.encode("onMetaData", {"width": float("inf"), "framerate": "25", "hasAudio": True})
    assert Source().send(SCRIPT, 0, odd) == [Metadata(declares_audio=True)]


@given(st.lists(st.tuples(st.sampled_from([8, 9, 18]), st.binary(max_size=60)), max_size=6))
def test_garbage_raises_typed_errors_only(tags: list[tuple[int, bytes]]) -> None:
    source = Source()
    source.send(VIDEO, 0, s.avc_config())
    for type_id, payload in tags:
        with contextlib.suppress(MediaError):
            source.send(type_id, 0, payload)


@given(
    st.sampled_from(
        [
            b"\x90" + HVC1 + s.hvcc(),
            b"\x96\x13" + HVC1 + track(1, b"other") + track(0, s.HEVC_IDR),
            b"\x97" + b"\x02" + b"\x00\x01\x02" + b"\x03" + HVC1 + s.HEVC_IDR,
            s.avc_config(),
            s.avc(s.RECOVERY_POINT, 40),
        ]
    ),
    st.data(),
)
def test_damaged_tags_raise_typed_errors_only(payload: bytes, data: st.DataObject) -> None:
    source = hevc_source()
    raw = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for damaged in (bytes(raw), bytes(raw[:cut])):
        with contextlib.suppress(MediaError):
            source.send(VIDEO, 0, damaged)
