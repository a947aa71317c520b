"""FFmpeg as a child process: argument lists, supervision, redacted messages, and ffprobe.

Argument lists are built with ffmpeg-python and run without a shell. What a child prints passes
through :mod:`.redact` before anybody sees it.
"""
