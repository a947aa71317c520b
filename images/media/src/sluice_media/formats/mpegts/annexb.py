"""Reader of the byte stream form of H.264 and HEVC: NAL units out.

Sources: Rec. ITU-T H.264 Annex B and Rec. ITU-T H.265 Annex B (start codes, leading and trailing
zero bytes).
"""

from __future__ import annotations

from collections.abc import Iterator

from sluice_media.formats.codecs import CodecError

MAX_NAL_UNITS = 4_096
"""Maximum number in one access unit. Level 6.2 allows 600 slices. The limit keeps a picture of
start codes alone from costing an object every 4 bytes."""
_START_CODE = b"\x00\x00\x01"


def iter_annexb(stream: bytearray, start: int) -> Iterator[memoryview]:
    """Yield the NAL units of the access unit in ``stream[start:]``, without start codes and
    padding.

    They are views of ``stream``, which must not be resized while a view exists. Empty NAL units are
    skipped. Raises CodecError without a start code, for other bytes than zeros before the first
    start code, and for more than 4096 NAL units.
    """
    position = stream.find(_START_CODE, start)
    if position < 0 or stream.count(0, start, position) != position - start:
        raise CodecError("a picture does not begin with a start code")
    view = memoryview(stream)
    size = len(stream)
    for _ in range(MAX_NAL_UNITS):
        begin = position + 3
        position = stream.find(_START_CODE, begin)
        end = without_padding(stream, begin, size if position < 0 else position)
        if end > begin:
            yield view[begin:end]
        if position < 0:
            return
    raise CodecError(f"a picture has more than {MAX_NAL_UNITS} NAL units")


def without_padding(stream: bytearray, begin: int, end: int) -> int:
    """Return the end of the NAL unit in ``stream[begin:end]``."""
    # One zero is the first byte of a start code of four bytes. More zeros are padding: the last
    # byte of a NAL unit is not zero (7.4.1).
    if end > begin and not stream[end - 1]:
        end -= 1
        if end > begin and not stream[end - 1]:
            end = begin + len(stream[begin:end].rstrip(b"\x00"))
    return end
