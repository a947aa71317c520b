"""AudioSpecificConfig and ADTS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.codecs import CodecError
from sluice_media.formats.codecs.aac import AacConfig, adts_header, parse_asc


def bits(text: str) -> bytes:
    packed = text.replace(" ", "")
    packed += "0" * (-len(packed) % 8)
    return int(packed, 2).to_bytes(len(packed) // 8, "big")


@pytest.mark.parametrize(
    ("config", "want"),
    [
        pytest.param(
            bytes.fromhex("1190"), AacConfig(2, 48_000, 2, 1024, 48_000, 2), id="LC 48 kHz stereo"
        ),
        pytest.param(
            bytes.fromhex("121056e500"),
            AacConfig(2, 44_100, 2, 1024, 44_100, 2),
            id="FFmpeg: extension that says no SBR",
        ),
        pytest.param(
            bits("00101 1000 0001 0101 00010 000"),
            AacConfig(2, 16_000, 1, 1024, 32_000, 1),
            id="explicit SBR",
        ),
        pytest.param(
            bits("00101 0110 0010 0011 00010 000"),
            AacConfig(2, 24_000, 2, 1024, 48_000, 2),
            id="HE-AAC 48 kHz",
        ),
        pytest.param(
            bits("00010 0110 0010 000 01010110111 00101 1 0011"),
            AacConfig(2, 24_000, 2, 1024, 48_000, 2),
            id="HE-AAC signalled at the end",
        ),
        pytest.param(
            bits(f"00010 1111 {11_024:024b} 0001 100"),
            AacConfig(2, 11_024, 1, 960, 11_024, 1),
            id="escaped rate, short frames",
        ),
        pytest.param(
            bits("11111 000111 0011 0010 1"),
            AacConfig(39, 48_000, 2, 480, 48_000, 2),
            id="escaped object type: ELD",
        ),
        pytest.param(
            bits(
                "00010 0011 0000 000"
                "0000 01 0011 0010 0001 0000 01 000 0000 0 0 0"
                "0 0000 1 0000 1 0001"
            ),
            AacConfig(2, 48_000, 6, 1024, 48_000, 0),
            id="5.1 by program config element",
        ),
    ],
)
def test_configurations(config: bytes, want: AacConfig) -> None:
    assert parse_asc(config) == want


def test_an_adts_header_says_the_same_as_the_configuration() -> None:
    header = adts_header(parse_asc(bytes.fromhex("1210")), 371)
    assert header == bytes.fromhex("fff150802f5ffc")


@pytest.mark.parametrize(
    ("config", "length", "says"),
    [
        (bits("11111 000111 0011 0010 1"), 10, "object type 39"),
        (bits(f"00010 1111 {11_024:024b} 0001 000"), 10, "11024 Hz"),
        (bytes.fromhex("1190"), 8185, "8185 bytes"),
    ],
)
def test_what_adts_cannot_carry_is_refused(config: bytes, length: int, says: str) -> None:
    with pytest.raises(CodecError, match=says):
        adts_header(parse_asc(config), length)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (b"", "ends in the middle"),
        (bits("00010 1101 0010 000"), "reserved"),
        (bits("00010 1111 000000000000000000000000 0010 000"), "not plausible"),
        (bits("00010 0011 1001 000"), "channel configuration 9"),
        (bits("100100 0011 0010 0000"), "not AAC"),
    ],
)
def test_errors_say_what_is_wrong(config: bytes, says: str) -> None:
    with pytest.raises(CodecError, match=says):
        parse_asc(config)


@given(st.binary(max_size=300))
def test_garbage_raises_codec_error_only(garbage: bytes) -> None:
    try:
        config = parse_asc(garbage)
        adts_header(config, len(garbage))
    except CodecError:
        pass
