"""RTMP URLs: their parts, and the sentences for invalid ones."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.protocols.rtmp import RtmpUrl, RtmpUrlError, parse_rtmp_url


@pytest.mark.parametrize(
    ("url", "want"),
    [
        ("rtmp://h/app/key", ("rtmp", "h", 1935, "app", "key")),
        ("RTMP://h:1936/app/key?a=b&c=d", ("rtmp", "h", 1936, "app", "key?a=b&c=d")),
        ("rtmps://h/app/inst/key", ("rtmps", "h", 443, "app/inst", "key")),
        ("rtmps://h:443/rtmp/x?s_bl=1&a=/b/c", ("rtmps", "h", 443, "rtmp", "x?s_bl=1&a=/b/c")),
        ("rtmp://h/app?auth=1/key", ("rtmp", "h", 1935, "app?auth=1", "key")),
        ("rtmp://[::1]:1935/app/key", ("rtmp", "::1", 1935, "app", "key")),
        ("rtmp://h/app//key", ("rtmp", "h", 1935, "app", "key")),
    ],
)
def test_urls_with_a_key(url: str, want: tuple[str, str, int, str, str]) -> None:
    found = parse_rtmp_url(url)
    assert (found.scheme, found.host, found.port, found.app, found.key) == want


@pytest.mark.parametrize(
    ("url", "app"),
    [
        ("rtmp://h/app", "app"),
        ("rtmp://h/app/", "app"),
        ("rtmp://h/app/inst", "app/inst"),
        ("rtmp://h/app?x=1", "app?x=1"),
    ],
)
def test_urls_with_the_key_beside_them(url: str, app: str) -> None:
    found = parse_rtmp_url(url, "k?y=&z")
    assert (found.app, found.key) == (app, "k?y=&z")


def test_tc_url_leaves_the_key_and_the_usual_port_out() -> None:
    assert parse_rtmp_url("rtmps://h:443/a/b/k?x").tc_url == "rtmps://h/a/b"
    assert parse_rtmp_url("rtmps://[::1]:1/a/k").tc_url == "rtmps://[::1]:1/a"


def test_no_text_shows_a_key() -> None:
    found = parse_rtmp_url("rtmp://h/app?canary=1/canary2")
    assert "canary" not in repr(found)
    assert found.redacted == "rtmp://h/app"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://h/app/canary", "rtmp://"),
        ("h/app/canary", "rtmp://"),
        ("rtmp:///app/canary", "no host"),
        ("rtmp://u:canary@h/app/canary", "user name"),
        ("rtmp://h:99999/app/canary", "port"),
        ("rtmp://h:0/app/canary", "port"),
        ("rtmp://h/canary", "application"),
        ("rtmp://h/", "application"),
        ("rtmp://h/app/", "stream key"),
        ("rtmp://h/app/?canary", "stream key"),
        ("rtmp://h/app/can ary", "space"),
        ("rtmp://h/app/canary\n", "space"),
        ("rtmp://h/app/" + "canary" * 400, "longer"),
    ],
)
def test_faults_are_named_in_a_sentence_without_the_key(url: str, sentence: str) -> None:
    with pytest.raises(RtmpUrlError, match=sentence) as refused:
        parse_rtmp_url(url)
    assert "canary" not in str(refused.value)
    assert str(refused.value).endswith(".")


@given(st.text(max_size=60), st.none() | st.text(max_size=20))
def test_any_text_gives_a_url_or_the_typed_error(text: str, key: str | None) -> None:
    for url in (text, f"rtmp://{text}", f"rtmp://h/{text}"):
        with contextlib.suppress(RtmpUrlError):
            assert isinstance(parse_rtmp_url(url, key), RtmpUrl)
