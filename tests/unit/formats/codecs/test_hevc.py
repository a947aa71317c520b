"""HEVC configuration and random access, on what a real encoder (x265) writes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.codecs import CodecError, hevc

VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003f9598090000")
SPS_640X362 = bytes.fromhex(
    "42010101600000030090000003000003003fa005020171f265959a4932bc05a02000000300200000030321"
)
SPS_422_10BIT = bytes.fromhex(
    "4201010408000003009d0800000300007bb003c08010e75b65958a924e5780b40400000fa40003a9802022"
)
PPS = bytes.fromhex("4401c172b46240")
PREFIX_SEI_RECOVERY_POINT = bytes.fromhex("4e01 0601 8080")


def hvcc(sps: bytes, profile: int = 1, level: int = 63) -> bytes:
    head = bytearray(23)
    head[0], head[1], head[12], head[21], head[22] = 1, profile, level, 0x0F, 3
    arrays = b"".join(
        bytes((kind, 0, 1)) + len(nal).to_bytes(2, "big") + nal
        for kind, nal in ((0x20, VPS), (0xA1, sps), (0x22, PPS))
    )
    return bytes(head) + arrays


def slice_of(nal_type: int) -> bytes:
    return bytes((nal_type << 1, 1, 0xAF, 0x08))


def sample(*nals: bytes) -> bytes:
    return b"".join(len(nal).to_bytes(4, "big") + nal for nal in nals)


@pytest.mark.parametrize(
    ("sps", "want"),
    [
        pytest.param(SPS_640X362, (640, 362, 25.0), id="conformance window"),
        pytest.param(SPS_422_10BIT, (1918, 1080, 60000 / 1001), id="4:2:2 with scaling list"),
    ],
)
def test_configuration_of_x265(sps: bytes, want: tuple[int, int, float]) -> None:
    parsed = hevc.parse_hvcc(hvcc(sps))
    assert (parsed.width, parsed.height, parsed.frame_rate) == want
    assert (parsed.vps, parsed.sps, parsed.pps) == ((VPS,), (sps,), (PPS,))
    assert (parsed.nal_length_size, parsed.profile, parsed.level) == (4, 1, 63)


@pytest.mark.parametrize(
    ("nals", "want"),
    [
        pytest.param((slice_of(19),), True, id="IDR"),
        pytest.param((slice_of(21),), True, id="CRA, open GOP"),
        pytest.param((slice_of(16),), True, id="BLA"),
        pytest.param((slice_of(1),), False, id="predicted"),
        pytest.param((slice_of(9),), False, id="leading picture"),
        pytest.param((slice_of(22),), False, id="reserved IRAP"),
        pytest.param((PREFIX_SEI_RECOVERY_POINT, slice_of(1)), True, id="intra refresh"),
    ],
)
def test_random_access(nals: tuple[bytes, ...], want: bool) -> None:
    assert hevc.is_random_access(sample(*nals), 4) is want


def test_a_configuration_without_its_parameter_sets_is_an_error() -> None:
    with pytest.raises(CodecError, match="lacks"):
        hevc.parse_hvcc(hvcc(SPS_640X362)[:22] + b"\x00")


@given(st.binary(max_size=400))
def test_garbage_raises_codec_error_only(garbage: bytes) -> None:
    for config in (garbage, hvcc(SPS_640X362)[:22] + garbage, hvcc(b"\x42\x01" + garbage)):
        with contextlib.suppress(CodecError):
            hevc.parse_hvcc(config)


@given(st.binary(max_size=300))
def test_garbage_parameter_set_raises_codec_error_only(garbage: bytes) -> None:
    for head in (SPS_640X362[:24], SPS_422_10BIT[:30]):
        with contextlib.suppress(CodecError):
            hevc.parse_sps(head + garbage)


@given(st.binary(max_size=400), st.sampled_from([1, 2, 4]))
def test_garbage_unit_raises_codec_error_only(garbage: bytes, nal_length_size: int) -> None:
    with contextlib.suppress(CodecError):
        hevc.is_random_access(garbage, nal_length_size)


@given(st.integers(0, 15_000), st.sampled_from([b"\x00", b"\xff", b"\x80", b"\x55"]))
def test_hostile_parameter_sets_are_bounded(length: int, filler: bytes) -> None:
    with contextlib.suppress(CodecError):
        hevc.parse_sps(SPS_640X362[:24] + filler * length)
