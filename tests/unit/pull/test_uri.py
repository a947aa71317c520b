"""URIs that can be pulled, and refusals that quote nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.pull.uri import InvalidUriError, parse_pull_uri


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("rtmp://h.example/app/S3CRET", "rtmp://h.example:1935"),
        ("rtmps://h.example/app/S3CRET?a=1", "rtmps://h.example:443"),
        ("RTSP://u:S3CRET@10.0.0.7/Streaming/101", "rtsp://10.0.0.7:554"),
        ("rtsps://[fd12::1]/x", "rtsps://[fd12::1]:322"),
        ("http://h.example:8080/a/b.m3u8?token=S3CRET", "http://h.example:8080"),
        ("https://h.example/live.flv", "https://h.example:443"),
        ("srt://h.example:9000?streamid=S3CRET&latency=200", "srt://h.example:9000"),
        ("srt://h.example:9000?mode=caller", "srt://h.example:9000"),
    ],
)
def test_valid_uris(uri: str, place: str) -> None:
    parsed = parse_pull_uri(uri)
    assert parsed.place == place
    assert "S3CRET" not in repr(parsed)


@pytest.mark.parametrize(
    "uri",
    [
        "", "file:///etc/passwd", "concat:http://a/1|http://a/2", "pipe:0", "subfile:x", "tcp://h:1",
        "udp://h:1", "ftp://h/x", "data:x", "//h/x", "http:/h/x", "http://", "http:///x",
        "http://h/a b", "http://h/a\nb", "http://h/a|b", "http://h\\x/a", "http://h:0/", "http://h:x/",
        "http://h:70000/", "http://[::1/", "http://[fe80::1%25eth0]/x", "http://h/\u00e9",
        "rtmp://h", "rtmp://h/", "srt://h", "srt://h:1?mode=listener", "srt://h:1?mode=rendezvous",
        "srt://h:1?passphrase=short", "srt://h:1?pbkeylen=9", "srt://h:1?latency=20000000",
        "srt://h:1?localaddr=1.2.3.4", "srt://u:p@h:1", "srt://h:1?streamid=%0a",
        "http://u%0a:p@h/", "http://h/" + "a" * 2_048, "hls+http://h/x", "rtmpt://h/a/b",
    ],
)  # fmt: skip
def test_refused_uris(uri: str) -> None:
    with pytest.raises(InvalidUriError) as refused:
        parse_pull_uri(uri)
    assert str(refused.value).endswith(".")


@given(st.text(max_size=80), st.sampled_from(["", "http://", "rtmp://h", "srt://h:1?", "rtsp://"]))
def test_any_text_is_parsed_or_refused_without_being_quoted(text: str, head: str) -> None:
    said = ""
    try:
        parsed = parse_pull_uri(head + text)
        assert parsed.host
        assert 0 < parsed.port < 65_536
    except InvalidUriError as refused:
        said = str(refused)
    assert len(text) < 12 or text not in said
