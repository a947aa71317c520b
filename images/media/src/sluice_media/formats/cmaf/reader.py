"""Reader of our own fragments: the samples that :func:`fragment` wrote.

It reads the layout of :mod:`fragment` and no other. Bytes of other writers, and damaged bytes,
raise :class:`ForeignFragment`. It is used to make MPEG-TS segments and recordings of stored CMAF.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812  a class

from sluice_media.formats.cmaf.fragment import (
    BOX_HEAD,
    DECODE_TIME,
    MOVIE_HEADER,
    NON_SYNC_FLAGS,
    ROW,
    RUN_FLAGS,
    RUN_HEADER,
    SYNC_FLAGS,
    TRACK_HEADER,
    TRACK_ID,
    Sample,
)


class ForeignFragment(ValueError):  # noqa: N818  the name says what the bytes are
    """The bytes are not fragments of this package, or they are damaged."""


@dataclass(slots=True, frozen=True)
class Fragment:
    """One ``moof`` with its ``mdat``."""

    sequence: int
    samples: tuple[Sample, ...]
    size: int
    """Number of bytes of the fragment."""


def read_fragments(data: bytes, *, is_video: bool, shift: int = 0) -> Iterator[Fragment]:
    """Yield the fragments in ``data``, which begins and ends between two fragments.

    ``shift`` is the one with which they were written. Raises :class:`ForeignFragment`.
    """
    position = 0
    while position < len(data):
        try:
            found = _read(data, position, is_video, shift if is_video else 0)
        except StructError as short:
            raise ForeignFragment("the bytes end in the middle of a fragment") from short
        yield found
        position += found.size


def _read(data: bytes, start: int, is_video: bool, shift: int) -> Fragment:
    movie_size, kind = BOX_HEAD.unpack_from(data, start)
    _expect(kind, b"moof")
    at = start + BOX_HEAD.size
    size, kind, flags, sequence = MOVIE_HEADER.unpack_from(data, at)
    _expect((size, kind, flags), (MOVIE_HEADER.size, b"mfhd", 0))
    at += MOVIE_HEADER.size
    track_size, kind = BOX_HEAD.unpack_from(data, at)
    _expect((track_size, kind), (movie_size - BOX_HEAD.size - MOVIE_HEADER.size, b"traf"))
    at += BOX_HEAD.size
    header, header_flags = TRACK_HEADER[is_video]
    _expect(header.unpack_from(data, at)[:4], (header.size, b"tfhd", header_flags, TRACK_ID))
    at += header.size
    size, kind, flags, decode_time = DECODE_TIME.unpack_from(data, at)
    _expect((size, kind, flags), (DECODE_TIME.size, b"tfdt", 1 << 24))
    at += DECODE_TIME.size
    size, kind, flags, count, offset = RUN_HEADER.unpack_from(data, at)
    row = ROW[is_video]
    payload_at = start + movie_size + BOX_HEAD.size
    _expect(
        (size, kind, flags, offset),
        (RUN_HEADER.size + count * row.size, b"trun", RUN_FLAGS[is_video], payload_at - start),
    )
    at += RUN_HEADER.size
    _expect(at + count * row.size, start + movie_size)
    samples, end = _samples(data, at, count, payload_at, decode_time - shift, is_video, shift)
    _expect(BOX_HEAD.unpack_from(data, payload_at - BOX_HEAD.size), (end - payload_at + 8, b"mdat"))
    return Fragment(sequence, samples, end - start)


def _samples(
    data: bytes, at: int, count: int, payload_at: int, dts: int, is_video: bool, shift: int
) -> tuple[tuple[Sample, ...], int]:
    """Return the samples, and the end of the last payload."""
    row = ROW[is_video]
    rows = row.iter_unpack(memoryview(data)[at : at + count * row.size])
    samples = []
    for fields in rows:
        end = payload_at + fields[1]
        if end > len(data):
            raise ForeignFragment("a sample is longer than the bytes")
        pts, is_sync = dts, True
        if is_video:
            if fields[2] not in (SYNC_FLAGS, NON_SYNC_FLAGS):
                raise ForeignFragment(f"unknown sample flags {fields[2]:#x}")
            is_sync = fields[2] == SYNC_FLAGS
            pts = dts + shift + fields[3]
        samples.append(Sample(dts, pts, fields[0], is_sync, data[payload_at:end]))
        dts += fields[0]
        payload_at = end
    if not samples:
        raise ForeignFragment("a fragment without samples")
    return tuple(samples), payload_at


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise ForeignFragment(f"the bytes have {found!r} where Sluice writes {wanted!r}")
