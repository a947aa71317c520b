"""H.264 configuration and random access, on what real encoders (x264) write."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.codecs import CodecError, h264

CONFIGS = [
    pytest.param(
        "0164001effe1001a6764001eacd940a02ff97011000003000100000300320f162d9601000668ebe3cb22c0fdf8f800",
        (640, 360, 25.0, 100, 30),
        id="cropped in height",
    ),
    pytest.param(
        "01640028ffe1001967640028acd94078044fde022000007d20001d4c03e2c5b2c001000668fba3cb22c0fdf8f800",
        (1920, 1080, 30000 / 1001, 100, 40),
        id="interlaced: map units count twice",
    ),
    pytest.param(
        "01f40015ffe1001a67f40015919b28363fcfe022000003000200000300781e2c5b2c01000668ebe3c44844fff8f800",
        (426, 240, 30.0, 244, 21),
        id="4:4:4: cropping in luma samples",
    ),
    pytest.param(
        "01640015ffe1001a67640015acd9434872c46022000003000200000300c81e2c5b2c01000768ebe3cb3002c0fdf8f800",
        (200, 100, 50.0, 100, 21),
        id="fake interlaced",
    ),
]

RECOVERY_POINT_SEI = bytes.fromhex("06 06 01 c4 80")
USER_DATA_SEI = bytes.fromhex("06 05 04 00 00 03 01 02 80")  # 4 bytes once unescaped
SLICE = bytes.fromhex("41 9a 24")
IDR = bytes.fromhex("65 88 84")
AUD = bytes.fromhex("09 f0")


def sample(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


@pytest.mark.parametrize(("config", "want"), CONFIGS)
def test_configuration_of_x264(config: str, want: tuple[int, int, float, int, int]) -> None:
    parsed = h264.parse_avcc(bytes.fromhex(config))
    assert (
        parsed.width,
        parsed.height,
        parsed.frame_rate,
        parsed.profile,
        parsed.level,
    ) == want
    assert parsed.nal_length_size == 4
    assert parsed.sps[0][0] & 0x1F == 7
    assert parsed.pps[0][0] & 0x1F == 8


def test_a_parameter_set_cut_off_inside_its_vui_keeps_its_size() -> None:
    sps = bytes.fromhex("6764001eacd940a02ff970110000")
    assert h264.parse_sps(sps) == h264.SpsInfo(640, 360, None)


@pytest.mark.parametrize(
    ("nals", "want"),
    [
        pytest.param((AUD, IDR), True, id="IDR"),
        pytest.param((USER_DATA_SEI, IDR), True, id="IDR after other SEI"),
        pytest.param((SLICE,), False, id="predicted"),
        pytest.param((RECOVERY_POINT_SEI, SLICE), True, id="intra refresh"),
        pytest.param((USER_DATA_SEI, SLICE), False, id="other SEI"),
        pytest.param(
            (USER_DATA_SEI[:-1] + RECOVERY_POINT_SEI[1:], SLICE), True, id="second message of a SEI"
        ),
        pytest.param((), False, id="empty"),
    ],
)
def test_random_access(nals: tuple[bytes, ...], want: bool) -> None:
    assert h264.is_random_access(sample(*nals), 4) is want


def test_a_slice_is_not_searched_for_sei_look_alikes() -> None:
    assert not h264.is_random_access(sample(SLICE, RECOVERY_POINT_SEI), 4)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("", "shorter"),
        ("0264001effe1001a67", "version 2"),
        ("0164001efee1001a6764", "3 bytes"),
        ("0164001effe0000000", "no sequence"),
        ("0164001effe1ffff6764001e", "does not fit"),
    ],
)
def test_errors_say_what_is_wrong(config: str, says: str) -> None:
    with pytest.raises(CodecError, match=says):
        h264.parse_avcc(bytes.fromhex(config))


def test_a_nal_unit_longer_than_its_access_unit_is_an_error() -> None:
    with pytest.raises(CodecError, match="does not fit"):
        h264.is_random_access(b"\x00\x00\x10\x00\x41", 4)


@given(st.binary(max_size=400))
def test_garbage_configuration_raises_codec_error_only(garbage: bytes) -> None:
    for config in (garbage, bytes.fromhex("0164001effe1") + garbage):
        with contextlib.suppress(CodecError):
            h264.parse_avcc(config)


@given(st.binary(max_size=400))
def test_garbage_parameter_set_raises_codec_error_only(garbage: bytes) -> None:
    for profile in (b"\x42", b"\x64", b"\xf4"):
        with contextlib.suppress(CodecError):
            h264.parse_sps(b"\x67" + profile + b"\x00\x1e" + garbage)


@given(st.binary(max_size=400), st.sampled_from([1, 2, 4]))
def test_garbage_unit_raises_codec_error_only(garbage: bytes, nal_length_size: int) -> None:
    with contextlib.suppress(CodecError):
        h264.is_random_access(garbage, nal_length_size)


@pytest.mark.parametrize("filler", [b"\x00", b"\xff", b"\x00\x00\x03", b"\x80"])
def test_a_huge_hostile_unit_is_read_in_linear_time(filler: bytes) -> None:
    # Without bounds this would take minutes; the suite's timeout is the assertion.
    sei = b"\x06" + filler * 2_000_000
    h264.is_random_access(sample(sei, SLICE), 4)
    with pytest.raises(CodecError):
        h264.parse_sps(b"\x67\x64\x00\x1e" + filler * 2_000_000)
