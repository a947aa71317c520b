"""Network protocols of publishers and targets: RTMP without I/O, and SRT over libsrt."""
