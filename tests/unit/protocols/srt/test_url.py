"""SRT URIs: their parts, and the messages for invalid ones."""

from __future__ import annotations

import pytest

from sluice_media.protocols.srt import SrtUrl, SrtUrlError, parse_srt_url

SECRET = "CANARY-0123456789"


@pytest.mark.parametrize(
    ("uri", "want"),
    [
        ("srt://host:9000", SrtUrl("host", 9000)),
        ("SRT://[fd00::1]:9000?mode=caller", SrtUrl("fd00::1", 9000)),
        (
            "srt://host:9000?streamid=#!::r=live/a,m=publish&latency=400",
            SrtUrl("host", 9000, "#!::r=live/a,m=publish", None, 400),
        ),
        (
            f"srt://host:9000/?streamid=a%26b+c?x=1&passphrase={SECRET}&pbkeylen=16",
            SrtUrl("host", 9000, "a&b+c?x=1", SECRET, 120, 16),
        ),
    ],
)
def test_uris_are_read(uri: str, want: SrtUrl) -> None:
    assert parse_srt_url(uri) == want


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("srt://host", "port"),
        ("srt://host:0", "port"),
        ("srt://host:70000", "port"),
        ("srt://:9000", "no host"),
        (f"srt://user:{SECRET}@host:9000", "user name"),
        (f"srt://host:9000/{SECRET}", "no path"),
        (f"srt://host:9000?mode=listener&streamid={SECRET}", "mode=caller"),
        ("srt://host:9000?mode=rendezvous", "mode=caller"),
        ("srt://host:9000?passphrase=CANARY", "10 to 79"),
        (f"srt://host:9000?{SECRET}=1", "unknown option"),
        (f"srt://host:9000?streamid={SECRET}&streamid=b", "twice"),
        (f"srt://host:9000?streamid={SECRET * 40}", "512"),
        ("srt://host:9000?latency=2000000", "milliseconds"),
        ("srt://host:9000?pbkeylen=20", "pbkeylen"),
        (f"srt://host:9000?streamid=%0a{SECRET}", "control"),
        (f"srt://ho st:9000?streamid={SECRET}", "space"),
        (f"rtmp://host/{SECRET}", "srt://"),
        (f"srt://host:9000?streamid={SECRET * 200}", "longer"),
    ],
)
def test_messages_name_the_fault_and_do_not_quote_the_uri(uri: str, says: str) -> None:
    with pytest.raises(SrtUrlError, match=says) as caught:
        parse_srt_url(uri)
    assert "CANARY" not in str(caught.value)


def test_no_text_shows_a_secret() -> None:
    made = parse_srt_url(f"srt://host:9000?streamid={SECRET}&passphrase={SECRET}")
    assert "CANARY" not in f"{made!r} {made.redacted} {made.authority}"
