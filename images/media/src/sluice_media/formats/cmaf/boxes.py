"""Boxes of the ISO base media file format (ISO/IEC 14496-12:2022 clause 4.2)."""

from __future__ import annotations

from struct import Struct

_HEAD = Struct(">I4s")
_U32 = Struct(">I")


def box(kind: bytes, *parts: bytes) -> bytes:
    """Return a Box of ``kind``, four letters, with the joined ``parts``."""
    body = b"".join(parts)
    return _HEAD.pack(_HEAD.size + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """Return a FullBox: a box with a version and 24 bits of flags."""
    return box(kind, _U32.pack(version << 24 | flags), *parts)
