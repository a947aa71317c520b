"""The bit reader, against a plain string of bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.formats.codecs import CodecError
from sluice_media.formats.codecs.bits import BitReader


@given(st.binary(max_size=64), st.lists(st.integers(0, 32), max_size=40))
def test_fields_equal_the_string_of_bits(data: bytes, widths: list[int]) -> None:
    text = "".join(f"{byte:08b}" for byte in data)
    reader = BitReader(data)
    for width in widths:
        if width > len(text):
            with pytest.raises(CodecError):
                reader.u(width)
            return
        assert reader.u(width) == int(text[:width] or "0", 2)
        text = text[width:]
        assert reader.bits_left == len(text)


@given(st.lists(st.integers(0, 2**31), max_size=30))
def test_exp_golomb_codes_come_back(values: list[int]) -> None:
    text = "".join("0" * ((v + 1).bit_length() - 1) + f"{v + 1:b}" for v in values)
    text += "0" * (-len(text) % 8)
    reader = BitReader(int(text or "0", 2).to_bytes(len(text) // 8, "big"))
    assert [reader.ue() for _ in values] == values


def test_signed_codes() -> None:
    reader = BitReader(bytes((0b1_010_011_0, 0b0100_0010, 0b1_0000000)))
    assert [reader.se() for _ in range(5)] == [0, 1, -1, 2, -2]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00" * 4, b"\x00" * 400])
def test_a_code_that_never_ends_is_an_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        BitReader(data).ue()
