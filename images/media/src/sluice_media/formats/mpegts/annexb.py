"""From the byte stream form of H.264 and HEVC to NAL units.

Sources: Rec. ITU-T H.264 Annex B and Rec. ITU-T H.265 Annex B (start codes, leading and trailing
zero bytes).
"""

from __future__ import annotations

from collections.abc import Iterator

from sluice_media.formats.codecs import CodecError

MAX_NAL_UNITS = 4_096
"""In one access unit. Level 6.2 allows 600 slices; a picture of start codes alone must not cost
an object every 4 bytes."""
_START_CODE = b"\x00\x00\x01"


def iter_annexb(stream: bytearray, start: int) -> Iterator[memoryview]:
    """The NAL units of the access unit in ``stream[start:]``, without start codes and padding.

    The views are of ``stream``, which must not be resized while they live. Empty NAL units are
    passed over. Raises CodecError when something else than zeros comes before the first start
    code, when there is none, and when there are more than 4096 NAL units.
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
    """Return where the NAL unit in ``stream[begin:end]`` ends."""
    # One zero is the fourth byte of the next start code. More of them are padding, which no
    # NAL unit ends with (7.4.1: the last byte is not zero).
    if end > begin and not stream[end - 1]:
        end -= 1
        if end > begin and not stream[end - 1]:
            end = begin + len(stream[begin:end].rstrip(b"\x00"))
    return end
