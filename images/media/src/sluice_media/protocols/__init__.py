"""Network protocols for publishing: RTMP without I/O, and SRT over libsrt."""
