"""No key passes from FFmpeg's standard error to a log or a status."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.ffmpeg.redact import StderrTail, redact


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (
            "rtmp://live.example.com:1935/app/S3CRET?x=S3CRET: Input/output error",
            "rtmp://live.example.com:1935/... Input/output error",
        ),
        ("srt://h:9000?streamid=S3CRET&mode=caller failed", "srt://h:9000/... failed"),
        ("https://user:S3CRET@host/a", "https://host/..."),
        ("https://user:S3CRET@host", "https://host"),
        ("'rtmps://[::1]:443/a/S3CRET'", "'rtmps://[::1]:443/...'"),
        ("option passphrase=S3CRET refused", "option passphrase=... refused"),
        ("Authorization token: S3CRET", "Authorization token: ..."),
        ("[mov @ 0x55d0c0ffee] moov atom not found", "[mov] moov atom not found"),
        ("a\x1b[31mb\x00c", "a [31mb c"),
    ],
)
def test_what_is_shown(printed: str, shown: str) -> None:
    assert redact(printed) == shown


@given(st.from_regex(r"[A-Za-z0-9_-]{12,40}", fullmatch=True))
def test_no_path_query_or_userinfo_of_a_url_survives(key: str) -> None:
    for url in (f"rtmp://h/app/{key}", f"srt://h:1?streamid={key}", f"rtsp://u:{key}@h/s#{key}"):
        assert key not in redact(f"Error opening {url}: refused")


def test_the_tail_keeps_the_last_lines() -> None:
    tail = StderrTail(lines=2)
    for line in (b"one\n", b"\n", b"two\n", b"three \xff\n"):
        tail.feed(line)
    assert tail.lines == ("two", "three \ufffd")
    assert tail.last == "three \ufffd"
