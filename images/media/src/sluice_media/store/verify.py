"""The check that an MP4 holds all media of its chunks; only then may the chunks be deleted.

Each access unit of the chunks must be a sample of the MP4. FFmpeg's exit code does not prove it: it
is 0 even when the disk was full at the end. The journal has the number of units of each chunk,
which belongs to the chunk's digest. If the video counts differ, the pictures in the chunks' bytes
are counted: one access unit may hold the two fields of an interlaced picture, of which FFmpeg makes
two samples. Sources: Rec. ITU-T H.264 clause 7.3.3 (first_mb_in_slice), Rec. ITU-T H.265 clause
7.3.6.1 (first_slice_segment_in_pic_flag), ISO/IEC 14496-12 clause 4.2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from sluice_media.contract import TrackInfo
from sluice_media.formats.mpegts.mux import VIDEO_PID
from sluice_media.formats.mpegts.packets import PACKET_BYTES, payload_offset
from sluice_media.formats.units import Codec, TrackKind

_ENOUGH_SHARE = 0.98
"""Minimum length of the MP4, as a fraction of the recorded length. There is no exact figure: a
pause of up to 2 s is in the MP4 and may be a hole of the chunks."""
_FIRST_SLICE = {
    # Slices (1), their data partition A (2) and slices of IDR pictures (5), with first_mb 0.
    Codec.H264: re.compile(
        rb"\x00\x00\x01[\x01\x21\x41\x61\x02\x22\x42\x62\x05\x25\x45\x65][\x80-\xff]"
    ),
    # Types 0 to 31 of the base layer, with first_slice_segment_in_pic_flag.
    Codec.HEVC: re.compile(
        rb"\x00\x00\x01[" + bytes(range(0, 64, 2)) + rb"][\x01-\x07][\x80-\xff]"
    ),
}


class FinalizeError(RuntimeError):
    """The MP4 could not be made, and is tried again; the text is the message for the user."""


class UnitsDifferError(FinalizeError):
    """The MP4 does not hold all media of its chunks. A second equal difference is permanent,
    because equal chunks give equal MP4s."""


def mapped_tracks(tracks: Sequence[TrackInfo], units: Mapping[int, int]) -> list[TrackInfo]:
    """Return the tracks that have units, in the order of the MP4's tracks: video first."""
    held = [info for info in tracks if units.get(info.track)]
    return sorted(held, key=lambda info: info.kind != TrackKind.VIDEO)


async def verify_units(
    found: Sequence[int],
    tracks: Sequence[TrackInfo],
    units: Mapping[int, int],
    pictures: Callable[[Codec], Awaitable[int]],
) -> None:
    """Compare the samples of the MP4's tracks with the units of the chunks' tracks.

    ``pictures`` counts the pictures in the chunks' bytes. Raises UnitsDifferError."""
    expected = mapped_tracks(tracks, units)
    if len(found) != len(expected):
        raise UnitsDifferError(f"the MP4 holds {len(found)} of {len(expected)} tracks")
    for info, count in zip(expected, found, strict=True):
        wanted = units[info.track]
        if count == wanted:
            continue
        if info.kind == TrackKind.VIDEO and count == await pictures(Codec(info.codec)):
            continue
        raise UnitsDifferError(f"the MP4 holds {count} of {wanted} {info.kind} frames")


def verify_seconds(found: float, expected: float) -> None:
    """Raise UnitsDifferError when the MP4 is too short."""
    if found < expected * _ENOUGH_SHARE - 1:
        raise UnitsDifferError(f"the MP4 holds {found:.0f} of {expected:.0f} seconds")


def verify_boxes(mp4: Path) -> None:
    """Check that the last box of the MP4 ends with the file: its index also names what was cut off.

    Raises UnitsDifferError and OSError."""
    size, at = mp4.stat().st_size, 0
    with mp4.open("rb") as file:
        while at < size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1 and len(head) == 16:
                (length,) = struct.unpack_from(">Q", head, 8)
            if length < 8:
                break
            at += length
    if at != size:
        raise UnitsDifferError("the MP4 is cut off")


def count_pictures(data: bytes, codec: Codec) -> int:
    """Count the pictures, or fields, in the video of a chunk: FFmpeg makes a sample of each."""
    stream = bytearray()
    for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES):
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] != VIDEO_PID or not data[at + 3] & 0x10:
            continue
        stream += data[payload_offset(data, at) : at + PACKET_BYTES]
    return sum(1 for _ in _FIRST_SLICE[codec].finditer(stream))
