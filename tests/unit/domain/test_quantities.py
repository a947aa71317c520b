"""Quantities of bytes, in and out."""

from __future__ import annotations

import pytest

from sluice_operator.domain.quantities import bytes_of, bytes_text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1", 1),
        ("20Gi", 20 << 30),
        ("1.5Ki", 1536),
        ("5G", 5_000_000_000),
        ("2k", 2000),
        ("1e3", 1000),
        ("12E", 12 * 10**18),
        ("1500m", 1),
    ],
)
def test_a_quantity_is_bytes(text: str, want: int) -> None:
    assert bytes_of(text) == want


@pytest.mark.parametrize("text", ["", "much", "1Gib", "Gi", "NaN", "1 2"])
def test_text_that_is_not_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        bytes_of(text)


@pytest.mark.parametrize(
    ("count", "want"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (20 << 30, "20 GiB"),
        (3 << 60, "3072 PiB"),
    ],
)
def test_bytes_as_text(count: int, want: str) -> None:
    assert bytes_text(count) == want
