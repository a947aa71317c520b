"""FFmpeg as a child process: argument lists, supervision, redacted messages, and ffprobe.

Argument lists are built with ffmpeg-python and run without a shell. :mod:`.redact` removes keys
from the output of a child before it reaches a log or a status.
"""
