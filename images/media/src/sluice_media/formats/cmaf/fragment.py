"""Fragments: ``moof`` and ``mdat`` with the samples of one track.

Sources: ISO/IEC 14496-12:2022 clauses 8.8.4 to 8.8.12 and ISO/IEC 23000-19:2024 clause 7.3.2.3.

The decode time (``tfdt``) of a picture is its DTS plus a constant ``shift``. With the shift, the
decode time of a keyframe equals its PTS, as the brand ``cmf2`` demands. Other pictures may then
have a negative composition offset. Audio frames have no offset, and their DTS is their PTS.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

TRACK_ID = 1
"""Id of the track in its own file."""
SYNC_FLAGS = 0x02000000
"""sample_depends_on 2: the sample depends on no other one."""
NON_SYNC_FLAGS = 0x01010000
"""sample_depends_on 1, sample_is_non_sync_sample."""

_U32 = 0xFFFFFFFF
BOX_HEAD = Struct(">I4s")
MOVIE_HEADER = Struct(">I4sII")
TRACK_HEADER = {
    True: (Struct(">I4sII"), 0x020000),  # default-base-is-moof
    False: (Struct(">I4sIII"), 0x020020),  # and default-sample-flags
}
DECODE_TIME = Struct(">I4sIQ")
RUN_HEADER = Struct(">I4sIIi")
RUN_FLAGS = {
    True: 0x01000F01,  # version 1; data offset, durations, sizes, flags, composition offsets
    False: 0x00000301,  # version 0; data offset, durations, sizes
}
_VIDEO_ROW = Struct(">IIIi")
_AUDIO_ROW = Struct(">II")
ROW = {True: _VIDEO_ROW, False: _AUDIO_ROW}


class Sample(NamedTuple):
    """An access unit with a duration."""

    dts: int
    """Decoding time, 90 kHz, without the shift."""
    pts: int
    duration: int
    """Ticks to the next sample's DTS."""
    is_sync: bool
    """True when decoding can start here: every audio frame, and each random access picture."""
    payload: bytes


def fragment(sequence: int, samples: Sequence[Sample], *, is_video: bool, shift: int = 0) -> bytes:
    """Return ``moof`` and ``mdat`` with at least one sample.

    ``sequence`` is taken modulo 2^32. ``shift`` is for video only.
    """
    count = len(samples)
    payloads = [sample[4] for sample in samples]
    if is_video:
        pack = _VIDEO_ROW.pack
        rows = [
            pack(
                duration,
                len(payload),
                SYNC_FLAGS if is_sync else NON_SYNC_FLAGS,
                pts - dts - shift,
            )
            for dts, pts, duration, is_sync, payload in samples
        ]
    else:
        shift = 0
        pack_audio = _AUDIO_ROW.pack
        rows = [pack_audio(duration, len(payload)) for _, _, duration, _, payload in samples]
    header, header_flags = TRACK_HEADER[is_video]
    run_size = RUN_HEADER.size + count * ROW[is_video].size
    track_size = BOX_HEAD.size + header.size + DECODE_TIME.size + run_size
    movie_size = BOX_HEAD.size + MOVIE_HEADER.size + track_size
    header_fields = (header.size, b"tfhd", header_flags, TRACK_ID)
    head = (
        BOX_HEAD.pack(movie_size, b"moof"),
        MOVIE_HEADER.pack(MOVIE_HEADER.size, b"mfhd", 0, sequence & _U32),
        BOX_HEAD.pack(track_size, b"traf"),
        header.pack(*header_fields) if is_video else header.pack(*header_fields, SYNC_FLAGS),
        DECODE_TIME.pack(DECODE_TIME.size, b"tfdt", 1 << 24, samples[0].dts + shift),
        RUN_HEADER.pack(run_size, b"trun", RUN_FLAGS[is_video], count, movie_size + BOX_HEAD.size),
    )
    data = BOX_HEAD.pack(BOX_HEAD.size + sum(map(len, payloads)), b"mdat")
    return b"".join((*head, *rows, data, *payloads))
