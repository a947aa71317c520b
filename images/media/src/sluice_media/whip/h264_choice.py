"""The choice of one H.264 format from an offer (pure).

In: the video section of an offer. Out: one payload type, and its parameters in the answer. Our
decoder takes every profile that today's encoders write. aiortc only answers Baseline and
Constrained Baseline, at level 3.1. So the chosen format's parameters are replaced by aiortc's in
the offer, and restored in the answer.

Sources: RFC 6184 sections 8.1 (parameters and what their absence means) and 8.2.2 (profile and
packetization mode are the same in offer and answer; so is the level here, which is always allowed);
Rec. ITU-T H.264 Annex A.2 (profile_idc).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from aiortc.rtp import DYNAMIC_PAYLOAD_TYPES
from aiortc.sdp import MediaDescription

LIBRARY_PROFILE_LEVEL_ID = "42e01f"
"""Constrained Baseline at level 3.1, as in aiortc's own formats."""
_PROFILES = frozenset({0x42, 0x4D, 0x64, 0x6E, 0x7A, 0xF4, 0x2C})
"""Baseline, Main, High, High 10, High 4:2:2, High 4:4:4 Predictive, CAVLC 4:4:4 Intra. Extended and
the scalable and multiview profiles are not supported."""
_PROFILE_LEVEL_ID = re.compile(r"[0-9a-f]{6}", re.IGNORECASE)
_SINGLE_NAL_UNIT, _NON_INTERLEAVED = "0", "1"


@dataclass(slots=True, frozen=True)
class H264Choice:
    """The chosen format of an offer."""

    payload_type: int
    parameters: str
    """Parameters for the answer's fmtp line; empty when the offer has none."""

    def for_library(self, sdp: str) -> str:
        """Return the offer with the chosen format in the form that aiortc supports."""
        known = (
            f"level-asymmetry-allowed=1;packetization-mode=1;"
            f"profile-level-id={LIBRARY_PROFILE_LEVEL_ID}"
        )
        return self._with(sdp, known)

    def answered(self, sdp: str) -> str:
        """Return aiortc's answer with the parameters of the offered format."""
        return self._with(sdp, self.parameters)

    def _with(self, sdp: str, parameters: str) -> str:
        lines = []
        for line in sdp.splitlines():
            if line.startswith(f"a=fmtp:{self.payload_type} "):
                continue
            lines.append(line)
            if parameters and line.startswith(f"a=rtpmap:{self.payload_type} "):
                lines.append(f"a=fmtp:{self.payload_type} {parameters}")
        return "\r\n".join(lines) + "\r\n"


def choose_h264(video: MediaDescription) -> H264Choice | None:
    """Return the first supported format, or None.

    An offer lists its formats in the sender's order of preference.
    """
    for codec in video.rtp.codecs:
        is_h264 = codec.name.lower() == "h264" and codec.clockRate == 90_000
        number = codec.payloadType
        if not is_h264 or number is None or number not in DYNAMIC_PAYLOAD_TYPES:
            continue
        given = _texts(codec.parameters)
        mode = given.get("packetization-mode", _SINGLE_NAL_UNIT)
        profile = given.get("profile-level-id", "")
        if mode not in (_SINGLE_NAL_UNIT, _NON_INTERLEAVED) or not _is_decodable(profile):
            continue
        same = ("level-asymmetry-allowed", "packetization-mode", "profile-level-id")
        answer = ";".join(f"{name}={given[name]}" for name in same if name in given)
        return H264Choice(number, answer)
    return None


def _texts(parameters: Mapping[str, int | str | None]) -> dict[str, str]:
    """Return stripped names and values: some senders put a space after the semicolon."""
    return {name.strip(): str(value).strip() for name, value in parameters.items()}


def _is_decodable(profile_level_id: str) -> bool:
    if not profile_level_id:
        return True  # a missing profile means Baseline
    if not _PROFILE_LEVEL_ID.fullmatch(profile_level_id):
        return False
    return int(profile_level_id[:2], 16) in _PROFILES
