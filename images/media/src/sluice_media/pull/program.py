"""A probe of FFmpeg's output: can Sluice carry its tracks unchanged?

In: the first packets of the child's transport stream. Video comes before audio in it, because the
command maps them in this order. Out: a verdict. Source: ISO/IEC 13818-1, 2.4.4.8 (program map).
"""

from __future__ import annotations

from enum import Enum, auto

from sluice_media.formats.mpegts.packets import PACKET_BYTES, payload_offset
from sluice_media.formats.mpegts.psi import PAT_PID, STREAM_TYPES
from sluice_media.formats.mpegts.psi_reader import SectionReader, parse_pat
from sluice_media.formats.units import Codec

_AUDIO = STREAM_TYPES[Codec.AAC]
_VIDEO = frozenset({STREAM_TYPES[Codec.H264], STREAM_TYPES[Codec.HEVC]})


class Verdict(Enum):
    """The result of a probe."""

    CARRIED = auto()
    """Sluice carries all tracks as they are."""
    AUDIO_TO_ENCODE = auto()
    """A track that may be audio is not AAC."""
    UNSUPPORTED = auto()
    """The video is neither H.264 nor HEVC."""


class ProgramProbe:
    """The probe of one child's output. Sans-io."""

    def __init__(self) -> None:
        self._pat = SectionReader()
        self._pmt = SectionReader()
        self._pmt_pid = -1

    def feed(self, data: bytes) -> Verdict | None:
        """Take whole packets. Return None until the program map has arrived."""
        for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES):
            packet = data[at : at + PACKET_BYTES]
            pid = (packet[1] & 0x1F) << 8 | packet[2]
            if pid not in (PAT_PID, self._pmt_pid) or not packet[3] & 0x10:
                continue
            reader = self._pat if pid == PAT_PID else self._pmt
            for section in reader.feed(
                packet[payload_offset(packet) :],
                unit_start=bool(packet[1] & 0x40),
                counter=packet[3] & 0xF,
            ):
                if pid == PAT_PID:
                    self._pmt_pid = next(iter((parse_pat(section) or {}).values()), -1)
                else:
                    return _verdict(section)
        return None


def _verdict(section: bytes) -> Verdict:
    types = _stream_types(section)
    if len(types) == 1:
        if types[0] in _VIDEO or types[0] == _AUDIO:
            return Verdict.CARRIED
        return Verdict.AUDIO_TO_ENCODE  # Harmless for a video track: no audio is encoded.
    if not types or types[0] not in _VIDEO:
        return Verdict.UNSUPPORTED
    return Verdict.CARRIED if types[1] == _AUDIO else Verdict.AUDIO_TO_ENCODE


def _stream_types(section: bytes) -> list[int]:
    body = section[12:-4]
    at = int.from_bytes(section[10:12], "big") & 0xFFF
    types = []
    while at + 5 <= len(body):
        types.append(body[at])
        at += 5 + (int.from_bytes(body[at + 3 : at + 5], "big") & 0xFFF)
    return types
