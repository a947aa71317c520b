"""Sequence headers and keyframes that contradict each other: which parameter sets are in force."""

from __future__ import annotations

from sluice_media.formats.codecs import h264, hevc
from sluice_media.formats.events import DemuxEvent
from sluice_media.formats.flv import FlvDemuxer
from sluice_media.formats.units import AccessUnit, TrackFormat, UnitFlags
from tests.support import flv_samples as s

VIDEO = 9
SMALL, LARGE = h264.parse_avcc(s.AVCC), h264.parse_avcc(s.AVCC_1080)
IDR_NAL = s.IDR[4:]


def send(demuxer: FlvDemuxer, payload: bytes) -> list[DemuxEvent]:
    return demuxer.feed(VIDEO, 0, payload, 0)


def keyframe(config: h264.AvcConfig, length_bytes: int = 4) -> bytes:
    nals = (*config.sps, *config.pps, IDR_NAL)
    return s.avc(b"".join(len(n).to_bytes(length_bytes, "big") + n for n in nals))


def started(config: bytes = s.AVCC) -> FlvDemuxer:
    demuxer = FlvDemuxer()
    send(demuxer, s.avc_config(config))
    return demuxer


def sizes(events: list[DemuxEvent]) -> list[int]:
    """Widths of the formats, 0 for a unit."""
    return [event.width if isinstance(event, TrackFormat) else 0 for event in events]


def test_parameter_sets_repeated_in_keyframes_are_no_change() -> None:
    demuxer = started()
    for _ in range(3):
        assert sizes(send(demuxer, keyframe(SMALL))) == [0]
    assert demuxer.formats[0].config == s.AVCC


def test_parameter_sets_that_change_in_a_keyframe_are_a_format_before_it() -> None:
    demuxer = started()
    found, unit = send(demuxer, keyframe(LARGE))
    assert isinstance(found, TrackFormat)
    assert isinstance(unit, AccessUnit)
    assert (found.width, found.height) == (1920, 1080)
    assert demuxer.formats == (found,)
    told = h264.parse_avcc(found.config)
    assert (told.sps, told.pps, told.nal_length_size) == (LARGE.sps, LARGE.pps, 4)
    assert sizes(send(demuxer, keyframe(LARGE))) == [0]
    assert sizes(send(demuxer, keyframe(SMALL))) == [640, 0]


def test_the_length_of_nal_unit_lengths_stays_what_the_header_said() -> None:
    demuxer = started(s.AVCC[:4] + b"\xfd" + s.AVCC[5:])
    found, _ = send(demuxer, keyframe(LARGE, length_bytes=2))
    assert isinstance(found, TrackFormat)
    assert h264.parse_avcc(found.config).nal_length_size == 2


def test_a_picture_parameter_set_alone_may_change() -> None:
    demuxer = started()
    (found, _) = send(demuxer, s.avc(s.sample(*LARGE.pps, IDR_NAL)))
    assert isinstance(found, TrackFormat)
    told = h264.parse_avcc(found.config)
    assert (told.sps, told.pps) == (SMALL.sps, LARGE.pps)


def test_a_sequence_parameter_set_alone_may_change() -> None:
    demuxer = started()
    (found, _) = send(demuxer, s.avc(s.sample(*LARGE.sps, IDR_NAL)))
    assert isinstance(found, TrackFormat)
    told = h264.parse_avcc(found.config)
    assert (told.sps, told.pps) == (LARGE.sps, SMALL.pps)


def test_a_header_repeated_beside_keyframes_that_say_otherwise_changes_nothing() -> None:
    demuxer = started()
    send(demuxer, keyframe(LARGE))
    for _ in range(3):
        assert send(demuxer, s.avc_config()) == []
        assert sizes(send(demuxer, s.avc(s.PICTURE))) == [0]
        assert sizes(send(demuxer, keyframe(LARGE))) == [0]


def test_a_repeated_header_counts_again_when_keyframes_say_no_more() -> None:
    demuxer = started()
    send(demuxer, keyframe(LARGE))
    assert send(demuxer, s.avc_config()) == []
    assert sizes(send(demuxer, s.avc(s.IDR))) == [640, 0]
    assert demuxer.formats[0].config == s.AVCC


def test_a_header_with_the_sets_that_keyframes_gave_already_is_no_second_change() -> None:
    demuxer = started()
    found, _ = send(demuxer, keyframe(LARGE))
    assert isinstance(found, TrackFormat)
    assert send(demuxer, s.avc_config(found.config)) == []
    assert sizes(send(demuxer, keyframe(LARGE))) == [0]


def test_parameter_sets_between_keyframes_wait_for_one() -> None:
    demuxer = started()
    assert sizes(send(demuxer, s.avc(s.sample(*LARGE.sps, *LARGE.pps, s.PICTURE[4:])))) == [0]
    assert demuxer.formats[0].config == s.AVCC


def test_a_keyframe_with_broken_parameter_sets_is_left_out_and_nothing_changes() -> None:
    demuxer = started()
    assert send(demuxer, s.avc(s.sample(LARGE.sps[0][:6], IDR_NAL))) == []
    assert demuxer.dropped_units == 1
    assert demuxer.formats[0].config == s.AVCC
    (unit,) = send(demuxer, keyframe(SMALL))
    assert isinstance(unit, AccessUnit)
    assert unit.flags == UnitFlags.DISCONTINUITY | UnitFlags.RANDOM_ACCESS


def test_hevc_parameter_sets_may_change_in_keyframes_too() -> None:
    demuxer = FlvDemuxer()
    send(demuxer, b"\x90hvc1" + s.hvcc())
    told = hevc.parse_hvcc(s.hvcc())
    irap = s.HEVC_IDR[4:]
    same = s.sample(*told.vps, *told.sps, *told.pps, irap)
    assert sizes(send(demuxer, b"\x93hvc1" + same)) == [0]
    pps = told.pps[0] + b"\x80"
    found, _ = send(demuxer, b"\x93hvc1" + s.sample(*told.vps, *told.sps, pps, irap))
    assert isinstance(found, TrackFormat)
    assert hevc.parse_hvcc(found.config).pps == (pps,)
    assert (found.width, found.height) == (640, 362)
