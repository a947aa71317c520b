"""Silence that nobody had to encode: what it is, and when its frames come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.codecs import aac
from sluice_media.formats.units import Codec, TrackFormat, TrackKind
from sluice_media.push.silence import Silence, silent_format, silent_frame


def source(config: bytes) -> TrackFormat:
    return TrackFormat(1, TrackKind.AUDIO, Codec.AAC, config)


@pytest.mark.parametrize(
    ("config", "rate", "channels"),
    [
        (bytes.fromhex("1190"), 48_000, 2),
        (bytes.fromhex("1210"), 44_100, 2),
        (bytes.fromhex("1208"), 44_100, 1),
        (bytes.fromhex("11b0"), 48_000, 6),
        (bytes.fromhex("2b098800"), 48_000, 2),  # HE-AAC, 24 kHz below SBR
        (bytes.fromhex("1194"), 48_000, 2),  # frames of 960 samples
        (b"", 48_000, 2),
    ],
)
def test_silence_is_like_the_sound_where_that_is_plain_aac_lc(
    config: bytes, rate: int, channels: int
) -> None:
    made = silent_format(source(config))
    parsed = aac.parse_asc(made.config)
    assert (made.sample_rate, made.channels) == (rate, channels)
    assert (parsed.object_type, parsed.sample_rate, parsed.channels) == (2, rate, channels)


def test_a_stream_without_sound_gets_48_khz_stereo() -> None:
    assert silent_format(None) == silent_format(source(bytes.fromhex("1190")))


def test_a_frame_of_stereo_silence_is_one_channel_pair_and_an_end() -> None:
    # CPE 001, tag 0000, common window 1, ics_info of 11 zeros, no M/S, and for each channel a
    # gain of 100 and no pulse, TNS or gain control; END 111.
    bits = "001" + "0000" + "1" + "0" * 11 + "00" + ("01100100" + "000") * 2 + "111"
    assert (
        silent_frame(2) == int(bits.ljust(56, "0")[:56], 2).to_bytes(7, "big")[: -(-len(bits) // 8)]
    )


@given(
    st.lists(st.integers(1, 20_000), min_size=1, max_size=200),
    st.sampled_from([bytes.fromhex("1190"), bytes.fromhex("1210"), bytes.fromhex("1208")]),
)
def test_frames_come_up_to_the_media_on_the_sample_clock(steps: list[int], config: bytes) -> None:
    silence = Silence(source(config))
    rate = silence.format.sample_rate
    dts, got = 1_000, []
    for step in steps:
        got += list(silence.until(dts, 0))
        dts += step
    got += list(silence.until(dts, 0))
    times = [unit.dts for unit in got]
    assert times == [1_000 + n * 1_024 * 90_000 // rate for n in range(len(times))]
    assert dts - 1_024 * 90_000 // rate - 1 <= times[-1] < dts


def test_media_that_jumps_far_ahead_is_not_filled_up() -> None:
    silence = Silence(None)
    list(silence.until(90_000, 0))
    list(silence.until(93_600, 0))
    assert not list(silence.until(90_000 * 3_600, 0))
    assert [u.dts for u in silence.until(90_000 * 3_600 + 10, 0)] == [90_000 * 3_600]
