"""Which tracks a target gets, and what is said when its protocol cannot carry them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice_media.formats.units import AccessUnit, Codec, TrackFormat, TrackKind, UnitFlags
from sluice_media.protocols.rtmp import ClientSession, ServerSession
from sluice_media.protocols.rtmp.events import Media
from sluice_media.push.channel import CodecRefused
from sluice_media.push.feeder import QueuedUnit
from sluice_media.push.flv_writer import FlvWriter
from sluice_media.push.tracks import AudioPolicy, Carrier, TrackPlan, mismatch, outgoing
from tests.support.rtmp_wire import run

H264 = TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"\x01d\x00\n\xff\xe1\x00\x00\x00", 320, 180)
HEVC = TrackFormat(0, TrackKind.VIDEO, Codec.HEVC, b"h", 320, 180)
AAC = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, bytes.fromhex("1190"), 0, 0, 48_000, 2)
SECOND = TrackFormat(2, TrackKind.AUDIO, Codec.AAC, bytes.fromhex("1190"), 0, 0, 48_000, 2)
LOW_DELAY = TrackFormat(1, TrackKind.AUDIO, Codec.AAC, bytes.fromhex("b98c00"), 0, 0, 48_000, 2)


@pytest.mark.parametrize(
    ("formats", "audio", "want"),
    [
        ((H264, AAC, SECOND), "Keep", [0, 1]),
        ((H264, AAC), "Drop", [0]),
        ((H264,), "Silence", [0, 1]),
        ((AAC,), "Silence", [1]),
        ((AAC,), "Drop", []),
    ],
)
def test_a_target_gets_one_video_and_one_audio_track(
    formats: tuple[TrackFormat, ...], audio: AudioPolicy, want: list[int]
) -> None:
    assert [f.track for f in outgoing(formats, audio)] == want


@pytest.mark.parametrize(
    ("formats", "audio", "carrier", "says"),
    [
        ((), "Keep", Carrier.FLV, "no track"),
        ((AAC,), "Drop", Carrier.FLV, "Set audio to Keep"),
        ((LOW_DELAY,), "Keep", Carrier.TS, "audio to Silence"),
    ],
)
def test_what_cannot_be_carried_is_said_with_what_to_change(
    formats: tuple[TrackFormat, ...], audio: AudioPolicy, carrier: Carrier, says: str
) -> None:
    assert says in (mismatch(formats, audio, carrier) or "")


def test_what_can_be_carried_is_no_problem() -> None:
    assert mismatch((AAC,), "Keep", Carrier.TS) is None
    assert mismatch((LOW_DELAY,), "Silence", Carrier.TS) is None
    assert mismatch((HEVC, AAC), "Keep", Carrier.FLV) is None


def picture(dts: int, *, key: bool = False) -> AccessUnit:
    flags = UnitFlags.RANDOM_ACCESS if key else UnitFlags.NONE
    return AccessUnit(0, dts, dts, flags, 0, b"\x00\x00\x00\x01p")


def sound(dts: int) -> AccessUnit:
    return AccessUnit(1, dts, dts, UnitFlags.NONE, 0, b"s")


def test_silence_stays_what_it_was_when_sound_appears() -> None:
    plan = TrackPlan("Silence")
    before = plan.take_formats((H264,))
    assert plan.take_formats((H264, LOW_DELAY)) == before
    assert [u.track for u in plan.units(picture(0, key=True))] == [0]
    assert [u.track for u in plan.units(picture(3_600))] == [1, 1, 0]
    assert not plan.units(sound(3_600))


def test_a_target_has_one_sound_whichever_of_the_source_it_is() -> None:
    """The first sound of a source may begin after its second one."""
    plan = TrackPlan("Keep")
    formats = plan.take_formats((H264, SECOND))
    assert [f.track for f in formats] == [0, 1]
    assert [u.track for u in plan.units(replace(sound(0), track=2))] == [1]
    assert plan.take_formats((H264, AAC, SECOND)) == formats
    assert [u.track for u in plan.units(sound(1_920))] == [1]
    assert not plan.units(replace(sound(1_920), track=2))


def test_silence_alone_is_a_stream_of_random_accesses() -> None:
    plan = TrackPlan("Silence")
    plan.take_formats((AAC,))
    plan.units(sound(0))
    assert all(u.is_random_access for u in plan.units(sound(3_600)))


def accepted(*needs: str) -> tuple[ClientSession, ServerSession]:
    session = ClientSession(app="a", tc_url="rtmp://h/a", stream_key="k", needs=needs)
    server = ServerSession()
    run(session, server)
    server.accept_publish()
    run(session, server)
    return session, server


def sent(server: ServerSession, data: bytes) -> list[tuple[int, bytes]]:
    """Type and first two bytes of each message."""
    return [(m.type_id, m.payload[:2]) for m in server.feed(data) if isinstance(m, Media)]


def test_headers_come_before_the_first_picture_and_again_when_the_video_is_another() -> None:
    session, server = accepted()
    writer = FlvWriter(session, TrackPlan("Drop"))
    one, two = (H264, AAC), (H264,)
    three = (TrackFormat(0, TrackKind.VIDEO, Codec.H264, b"other", 640, 360),)
    first = sent(server, writer.encode([QueuedUnit(picture(0, key=True), one)]))
    assert [kind for kind, _ in first] == [18, 9, 9]
    assert [head for kind, head in first if kind == 9] == [b"\x17\x00", b"\x17\x01"]
    # A sound that comes or goes is nothing to a target that gets none.
    assert sent(server, writer.encode([QueuedUnit(picture(3_600), two)])) == [(9, b"\x27\x01")]
    third = sent(server, writer.encode([QueuedUnit(picture(7_200, key=True), three)]))
    assert [head for kind, head in third if kind == 9] == [b"\x17\x00", b"\x17\x01"]


def test_a_codec_that_turns_up_and_was_not_announced_ends_the_push_with_what_to_change() -> None:
    session, _ = accepted()
    session._announced = frozenset()
    writer = FlvWriter(session, TrackPlan("Keep"), "Announced")
    writer.encode([QueuedUnit(picture(0, key=True), (H264,))])
    with pytest.raises(CodecRefused, match=r"Assume.*H\.264"):
        writer.encode([QueuedUnit(picture(3_600, key=True), (HEVC,))])
    assert accepted("hvc1")[0].takes("hvc1")


def test_a_codec_that_is_assumed_is_sent_to_a_server_that_announces_nothing() -> None:
    session, server = accepted()
    session._announced = frozenset()
    writer = FlvWriter(session, TrackPlan("Keep"), "Assume")
    got = sent(server, writer.encode([QueuedUnit(picture(0, key=True), (HEVC,))]))
    assert [head[:1] for kind, head in got if kind == 9] == [b"\x90", b"\x93"]
