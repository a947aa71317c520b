"""Conversion of byte quantities between Kubernetes' notation, numbers, and text for people.

Source: the ``Quantity`` of the Kubernetes API (``k8s.io/apimachinery/pkg/api/resource``).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

_SUFFIXES: dict[str, int | Decimal] = {
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
    "Pi": 1 << 50,
    "Ei": 1 << 60,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "E": 10**18,
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def bytes_of(quantity: str) -> int:
    """Convert ``20Gi`` to 21474836480; parts of a byte are dropped. Raises ValueError."""
    text = quantity.strip()
    for suffix, factor in _SUFFIXES.items():
        # `12E` has a suffix, `12E3` an exponent; a suffix is always last.
        if text.endswith(suffix):
            return int(_number(text.removesuffix(suffix), quantity) * factor)
    return int(_number(text, quantity))


def _number(text: str, quantity: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{quantity!r} is not a quantity such as 20Gi") from None
    if not number.is_finite():
        raise ValueError(f"{quantity!r} is not a quantity such as 20Gi")
    return number


def bytes_text(count: int) -> str:
    """Return e.g. ``18.2 GiB``, with at most one digit after the point."""
    value, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"
