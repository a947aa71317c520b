"""Reader of bit fields and Exp-Golomb codes (Rec. ITU-T H.264 clauses 7.2 and 9.1)."""

from __future__ import annotations

from sluice_media.formats.codecs.errors import CodecError

_MAX_FIELD_BITS = 32


class BitReader:
    """Position in ``data``, from which it reads big-endian bit fields.

    The cost of a read does not depend on the length of ``data``. Reading past the end raises
    :class:`CodecError`.
    """

    __slots__ = ("_bit_length", "_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._bit_length = len(data) * 8
        self._position = 0

    @property
    def bits_left(self) -> int:
        return self._bit_length - self._position

    def u(self, bits: int) -> int:
        """Read an unsigned integer of ``bits`` bits (0 to 32)."""
        if not 0 <= bits <= _MAX_FIELD_BITS:
            raise CodecError(f"a field of {bits} bits is not possible")
        end = self._position + bits
        if end > self._bit_length:
            raise CodecError("the configuration ends in the middle of a field")
        value = self._peek(bits)
        self._position = end
        return value

    def flag(self) -> bool:
        """Read one bit."""
        return self.u(1) == 1

    def skip(self, bits: int) -> None:
        """Skip ``bits`` bits."""
        if bits < 0 or bits > self.bits_left:
            raise CodecError("the configuration ends in the middle of a field")
        self._position += bits

    def ue(self) -> int:
        """Read an unsigned Exp-Golomb code, ``ue(v)``; at most 2^32 - 2."""
        window_bits = min(self.bits_left, _MAX_FIELD_BITS)
        zeros = window_bits - self._peek(window_bits).bit_length()
        if zeros == window_bits:
            # 32 zeros, or the end of the data. No standard allows such a long code.
            raise CodecError("an Exp-Golomb code is too long")
        self.skip(zeros + 1)
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Read a signed Exp-Golomb code, ``se(v)``."""
        code = self.ue()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)

    def _peek(self, bits: int) -> int:
        first_byte = self._position >> 3
        window = self._data[first_byte : first_byte + 5]
        spare = len(window) * 8 - (self._position & 7) - bits
        return (int.from_bytes(window, "big") >> spare) & ((1 << bits) - 1)
