"""A leg of units: what a gateway frames comes out again, and nothing else is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.contract import LegFormat, TimelineHeartbeat, TrackInfo
from sluice_media.formats.units import AccessUnit, UnitFlags
from sluice_media.timeline.framing import RecordType, encode, encode_body, encode_unit
from sluice_media.timeline.leg_framing import (
    MAX_TICKS,
    LegDecoder,
    LegEvent,
    LegFormats,
    LegMediaRejected,
    encode_formats,
    encode_rejection,
)
from tests.support.hub_rig import AUDIO, VIDEO, picture

PICTURE = AccessUnit(0, 3_600, 7_200, UnitFlags.RANDOM_ACCESS, 5, picture(0, 40))
SOUND = AccessUnit(1, 1 << 40, 1 << 40, UnitFlags.NONE, 5, b"\x21sound")


def decode(*parts: bytes) -> list[LegEvent]:
    decoder = LegDecoder()
    return [event for part in parts for event in decoder.feed(part, utc_us=77)]


def infos(*changes: Mapping[str, object]) -> bytes:
    tracks = [
        TrackInfo.model_validate(
            {"track": 0, "kind": "video", "codec": "h264", "config": "", **change}
        )
        for change in changes
    ]
    return encode_body(RecordType.FORMAT, LegFormat(tracks=tracks).to_json().encode())


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_what_is_framed_comes_out_with_the_hubs_time_of_arrival(step: int) -> None:
    data = encode_formats(()) + encode_formats((VIDEO, AUDIO), has_video=True)
    data += encode_unit(PICTURE) + encode_unit(SOUND)
    found = decode(*(data[at : at + step] for at in range(0, len(data), step)))
    assert found[0] == LegFormats((), None)
    assert isinstance(found[1], LegFormats)
    assert [f.config for f in found[1].formats] == [VIDEO.config, AUDIO.config]
    assert found[1].has_video is True
    assert found[2:] == [replace(PICTURE, utc_us=77), replace(SOUND, utc_us=77)]


def test_sizes_and_rates_are_those_of_the_configuration_not_those_that_were_said() -> None:
    lying = replace(VIDEO, width=-4, height=10**30), replace(AUDIO, sample_rate=-1, channels=99)
    (found,) = decode(encode_formats(lying))
    assert isinstance(found, LegFormats)
    assert (found.formats[0].width, found.formats[0].height) == (640, 360)
    assert (found.formats[1].sample_rate, found.formats[1].channels) == (48_000, 2)


BROKEN = {
    "a unit before the format": [encode_unit(PICTURE)],
    "a unit of a track that is not there": [encode_formats((AUDIO,)), encode_unit(PICTURE)],
    "an empty unit": [encode_formats((VIDEO,)), encode_unit(replace(PICTURE, payload=b""))],
    "a unit shorter than its head": [encode_formats((VIDEO,)), encode_body(RecordType.UNIT, b"1")],
    "a picture without structure": [
        encode_formats((VIDEO,)),
        encode_unit(replace(PICTURE, payload=b"\xff" * 20)),
    ],
    "unknown flags": [
        encode_formats((VIDEO,)),
        encode_unit(replace(PICTURE, flags=UnitFlags(0x80))),
    ],
    "a time where sums end": [
        encode_formats((VIDEO,)),
        encode_unit(replace(PICTURE, dts=MAX_TICKS + 1, pts=MAX_TICKS + 1)),
    ],
    "a picture shown in two hours": [
        encode_formats((VIDEO,)),
        encode_unit(replace(PICTURE, pts=PICTURE.dts + 7_200 * 90_000)),
    ],
    "a track twice": [encode_formats((AUDIO, AUDIO))],
    "video as track 3": [encode_formats((replace(VIDEO, track=3),))],
    "audio as track 0": [encode_formats((replace(AUDIO, track=0),))],
    "audio as track 200": [encode_formats((replace(AUDIO, track=200),))],
    "a video codec as audio": [infos({"track": 1, "kind": "audio"})],
    "a kind that is none": [infos({"kind": "smell"})],
    "a configuration that is none": [infos({})],
    "a configuration that is no base64": [infos({"config": "§"})],
    "too many tracks": [infos(*({"track": n} for n in range(40)))],
    "a record of the timeline": [encode(TimelineHeartbeat(session=True, delivering=True))],
    "a record of no type": [encode_body(99, b"")],  # type: ignore[arg-type]
    "a record of 4 GB": [b"\x01\xff\xff\xff\xff"],
    "a format that does not parse": [encode_body(RecordType.FORMAT, b"{")],
    "an end for a reason that is none": [encode_rejection("Because", "of that")],
}


@pytest.mark.parametrize("parts", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_leg_is_bad_media(parts: list[bytes]) -> None:
    with pytest.raises(LegMediaRejected) as caught:
        decode(*parts)
    assert caught.value.reason == "BadMedia"


def test_an_unknown_codec_is_named_without_what_could_harm_a_terminal() -> None:
    with pytest.raises(LegMediaRejected) as caught:
        decode(infos({"codec": "av01\x1b[2J"}))
    assert caught.value.reason == "UnsupportedCodec"
    assert str(caught.value) == "The video is av01??2J; Sluice takes H.264, HEVC and AAC."


def test_what_the_gateway_rejects_arrives_with_its_reason_and_sentence() -> None:
    with pytest.raises(LegMediaRejected, match="no transport stream") as caught:
        decode(encode_formats(()), encode_rejection("BadMedia", "That is no transport stream."))
    assert caught.value.reason == "BadMedia"


def _events(data: bytes, cuts: Iterable[int]) -> list[LegEvent] | str:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    try:
        return decode(*(data[a:b] for a, b in pairwise(places)))
    except LegMediaRejected as rejected:
        return rejected.reason


@given(st.binary(max_size=40), st.integers(0, 400), st.lists(st.integers(0, 10_000), max_size=4))
def test_damage_ends_in_bad_media_or_in_units_wherever_it_is_cut(
    damage: bytes, at: int, cuts: list[int]
) -> None:
    data = encode_formats((VIDEO, AUDIO)) + encode_unit(PICTURE) + encode_unit(SOUND)
    data = data[:at] + damage + data[at + len(damage) :]
    assert _events(data, cuts) == _events(data, ())
