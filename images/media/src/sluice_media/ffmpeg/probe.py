"""What ffprobe says of a finished file."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from sluice_media.ffmpeg.argv import probe_argv
from sluice_media.ffmpeg.process import ChildError, run_child

_TIMEOUT_SECONDS = 120.0


class ProbedFormat(BaseModel):
    format_name: str
    duration: float = 0.0
    """Seconds."""
    size: int = 0
    """Bytes."""
    tags: dict[str, str] = {}


class ProbedStream(BaseModel):
    codec_type: str
    codec_name: str = ""
    codec_tag_string: str = ""
    width: int = 0
    height: int = 0
    nb_frames: int = 0
    """Samples of the track, as the container's index counts them; 0 when it does not."""


class MediaProbe(BaseModel):
    format: ProbedFormat
    streams: list[ProbedStream] = []


async def probe(path: Path) -> MediaProbe:
    """Asks ffprobe. Raises ChildError when it fails or says something that is no answer."""
    output = await run_child(probe_argv(path), timeout_seconds=_TIMEOUT_SECONDS)
    try:
        return MediaProbe.model_validate_json(output)
    except ValidationError as invalid:
        raise ChildError("ffprobe did not describe the file") from invalid
