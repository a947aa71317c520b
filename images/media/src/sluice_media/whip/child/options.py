"""Options of a transcoder: a command line argument in JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from fractions import Fraction


@dataclass(slots=True, frozen=True)
class Shape:
    """The size and frame rate of a session's output pictures, which never change."""

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
    """Output format and resource limits of a transcoder."""

    lines: int
    """Shorter side of the picture."""
    frame_rate: int
    video_bitrate_kbps: int
    audio_bitrate_kbps: int
    gop_seconds: float
    threads: int
    memory_bytes: int
    nice: int
    shape: Shape | None = None
    """Shape of the output; None to derive it from the first picture."""

    def to_argument(self) -> str:
        """Return the options as JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_argument(cls, text: str) -> TranscodeOptions:
        """Parse the options."""
        fields = json.loads(text)
        shape = fields.pop("shape")
        return replace(cls(**fields), shape=Shape(**shape) if shape else None)
