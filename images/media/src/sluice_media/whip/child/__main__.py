"""The transcoder's program: ``python -m sluice_media.whip.child OPTIONS``."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys

from sluice_media.formats.units import AccessUnit
from sluice_media.timeline.framing import TimelineDecoder
from sluice_media.whip.child.options import TranscodeOptions
from sluice_media.whip.child.pipeline import Pipeline

_READ_BYTES = 256 << 10
_MAX_FILES = 16


def main(argument: str) -> None:
    """Transcode standard input to standard output. ``argument`` holds the options as JSON."""
    options = TranscodeOptions.from_argument(argument)
    _confine(options)
    decoder = TimelineDecoder()
    pipeline = Pipeline(options)
    while data := os.read(0, _READ_BYTES):
        for record in decoder.feed(data):
            if isinstance(record, AccessUnit):
                for framed in pipeline.feed(record):
                    _write(framed)


def _confine(options: TranscodeOptions) -> None:
    """Limit the process, in case hostile media takes its decoder over or makes it grow."""
    os.nice(options.nice)
    resource.setrlimit(resource.RLIMIT_AS, (options.memory_bytes, options.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_FILES, _MAX_FILES))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's ^C is for the parent


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


with contextlib.suppress(BrokenPipeError):  # the session is over
    main(sys.argv[1])
