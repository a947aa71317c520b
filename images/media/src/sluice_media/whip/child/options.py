"""What a transcoder is told at its start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from fractions import Fraction


@dataclass(slots=True, frozen=True)
class Shape:
    """What never changes in a session's pictures."""

    width: int
    height: int
    rate_numerator: int
    rate_denominator: int

    @property
    def rate(self) -> Fraction:
        """Pictures per second."""
        return Fraction(self.rate_numerator, self.rate_denominator)


@dataclass(slots=True, frozen=True)
class TranscodeOptions:
    lines: int
    frame_rate: int
    video_bitrate_kbps: int
    audio_bitrate_kbps: int
    gop_seconds: float
    threads: int
    memory_bytes: int
    nice: int
    shape: Shape | None = None
    """None: to be decided at the first picture."""

    def to_argument(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_argument(cls, text: str) -> TranscodeOptions:
        fields = json.loads(text)
        shape = fields.pop("shape")
        return replace(cls(**fields), shape=Shape(**shape) if shape else None)
