"""Description of a finished file, from ffprobe."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from sluice_media.ffmpeg.argv import probe_argv
from sluice_media.ffmpeg.process import ChildError, run_child

_TIMEOUT_SECONDS = 120.0


class ProbedFormat(BaseModel):
    """The file as a whole."""

    format_name: str
    duration: float = 0.0
    """Duration in seconds."""
    size: int = 0
    """Size in bytes."""
    tags: dict[str, str] = {}


class ProbedStream(BaseModel):
    """One track of the file."""

    codec_type: str
    codec_name: str = ""
    codec_tag_string: str = ""
    width: int = 0
    height: int = 0
    nb_frames: int = 0
    """Number of samples in the container's index; 0 when the index has no number."""


class MediaProbe(BaseModel):
    """ffprobe's description of a file."""

    format: ProbedFormat
    streams: list[ProbedStream] = []


async def probe(path: Path) -> MediaProbe:
    """Run ffprobe. Raises ChildError when it fails or its output cannot be parsed."""
    output = await run_child(probe_argv(path), timeout_seconds=_TIMEOUT_SECONDS)
    try:
        return MediaProbe.model_validate_json(output)
    except ValidationError as invalid:
        raise ChildError("the output of ffprobe cannot be parsed") from invalid
