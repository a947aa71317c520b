"""Targets: read, redacted, scrubbed; a key is shown nowhere."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from sluice_media.contract import TargetErrorClass
from sluice_media.protocols.rtmp.url import RtmpUrl
from sluice_media.protocols.srt.errors import ConnectRefused
from sluice_media.protocols.srt.url import SrtUrl
from sluice_media.push.failures import from_srt_refusal, from_status
from sluice_media.push.target import InvalidTargetError, Target, parse_target, target_digest

KEY = "abcd-1234-CANARY"


def target(uri: str, key: str | None = None) -> Target:
    return parse_target(SecretStr(uri), None if key is None else SecretStr(key))


@pytest.mark.parametrize(
    ("uri", "key", "want"),
    [
        ("rtmp://a.rtmp.youtube.com/live2", KEY, ("a.rtmp.youtube.com", 1935, "live2", KEY)),
        (f"rtmp://host:1936/app/{KEY}", None, ("host", 1936, "app", KEY)),
        (f"rtmp://host/app/inst/{KEY}?a=b/c", None, ("host", 1935, "app/inst", f"{KEY}?a=b/c")),
        (
            "rtmp://[fd00::1]:1935/app/",
            f"{KEY}?x=1&y=2",
            ("fd00::1", 1935, "app", f"{KEY}?x=1&y=2"),
        ),
    ],
)
def test_targets_are_read(uri: str, key: str | None, want: tuple[str, int, str, str]) -> None:
    url = target(uri, key).url
    assert isinstance(url, RtmpUrl)
    assert (url.host, url.port, url.app, url.key) == want


def test_no_text_of_a_target_shows_its_key() -> None:
    made = target(f"rtmp://host/app?auth={KEY}2", f"{KEY}?token={KEY}3")
    for text in (repr(made), str(made), made.redacted, made.place):
        assert "CANARY" not in text
    assert made.redacted == "rtmp://host/app"


@pytest.mark.parametrize(
    ("uri", "key", "says"),
    [
        (f"https://host/app/{KEY}", None, "scheme https"),
        (f"host/app/{KEY}", None, "rtmp://"),
        (f"rtmp://user:pass{KEY}@host/app", KEY, "user name"),
        ("rtmp://host/app", None, "no application|no stream key"),
        ("rtmp://host/", KEY, "no application"),
        ("rtmp://host/app", f"{KEY} {KEY}", "space"),
        (f"rtmp://host:99999/app/{KEY}", None, "port"),
        (f"rtmp:///app/{KEY}", None, "host"),
        ("", None, "rtmp://"),
    ],
)
def test_what_is_wrong_is_said_without_the_key(uri: str, key: str | None, says: str) -> None:
    with pytest.raises(InvalidTargetError, match=says) as caught:
        target(uri, key)
    assert caught.value.reason == "InvalidUri"
    assert (
        "CANARY" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    )


def test_what_a_target_says_is_scrubbed() -> None:
    made = target("rtmp://host/app", f"{KEY}?token=s3cr3t-token&n=1")
    said = f"stream {KEY} with s3cr3t-token\x1b[31m is busy" + "x" * 500
    clean = made.scrub(said)
    assert clean.startswith("stream *** with *** [31m is busy")
    assert len(clean) == 200


def test_a_digest_tells_equal_targets_and_nothing_else() -> None:
    one = target_digest(target("rtmp://host/app", KEY), "ns")
    assert one == target_digest(target(f"rtmp://HOST:1935/app/{KEY}"), "ns")
    assert len({one, target_digest(target("rtmp://host/app", KEY + "x"), "ns")}) == 2
    assert one != target_digest(target("rtmp://host/app", KEY), "other")
    assert len(one) == 16


@pytest.mark.parametrize(
    ("code", "description", "want"),
    [
        ("NetStream.Publish.BadName", "Already publishing", TargetErrorClass.BAD_NAME),
        ("NetStream.Publish.Denied", "", TargetErrorClass.UNAUTHORIZED),
        ("NetConnection.Connect.Rejected", "code=403 need auth", TargetErrorClass.UNAUTHORIZED),
        ("NetConnection.Connect.Rejected", "no such application", TargetErrorClass.BAD_NAME),
        ("NetConnection.Connect.InvalidApp", "", TargetErrorClass.BAD_NAME),
        ("NetConnection.Connect.Closed", "", TargetErrorClass.CLOSED),
        ("NetStream.Failed", "", TargetErrorClass.CLOSED),
    ],
)
def test_refusals_are_read_from_the_protocol(
    code: str, description: str, want: TargetErrorClass
) -> None:
    failure = from_status(code, description)
    assert failure.class_ is want
    assert code in failure.message


def test_an_srt_target_is_read_redacted_and_scrubbed() -> None:
    made = parse_target(
        SecretStr("srt://host:9000?latency=500"), SecretStr(KEY), passphrase=SecretStr(KEY)
    )
    assert isinstance(made.url, SrtUrl)
    assert (made.url.stream_id, made.url.passphrase, made.url.latency_ms) == (KEY, KEY, 500)
    assert (made.redacted, made.place) == ("srt://host:9000", "host:9000")
    for text in (repr(made), made.scrub(f"no such stream {KEY}")):
        assert "CANARY" not in text


@pytest.mark.parametrize(
    ("uri", "key", "passphrase", "ca", "says"),
    [
        ("srt://host:9000?streamid=a", KEY, None, None, "streamid already"),
        (f"srt://host:9000?passphrase={KEY}", None, KEY, None, "passphrase already"),
        ("srt://host:9000", None, "short", None, "10 to 79"),
        ("rtmp://host/app", KEY, KEY, None, "Only SRT targets"),
        ("rtmp://host/app", KEY, None, "pem", "Only RTMPS targets"),
        ("srt://host:9000", None, None, "pem", "Only RTMPS targets"),
    ],
)
def test_what_does_not_fit_together_is_said(
    uri: str, key: str | None, passphrase: str | None, ca: str | None, says: str
) -> None:
    def secret(text: str | None) -> SecretStr | None:
        return None if text is None else SecretStr(text)

    with pytest.raises(InvalidTargetError, match=says) as caught:
        parse_target(SecretStr(uri), secret(key), passphrase=secret(passphrase), ca=secret(ca))
    assert "CANARY" not in str(caught.value)


def test_a_digest_knows_srt_targets_by_their_stream_id() -> None:
    by_uri = target_digest(target(f"srt://Host.:9000?streamid={KEY}&latency=300"), "ns")
    assert by_uri == target_digest(target("srt://host:9000", KEY), "ns")
    assert by_uri != target_digest(target("srt://host:9000", KEY + "x"), "ns")


@pytest.mark.parametrize(
    ("code", "want"),
    [
        (10, TargetErrorClass.UNAUTHORIZED),
        (1401, TargetErrorClass.UNAUTHORIZED),
        (1404, TargetErrorClass.BAD_NAME),
        (1409, TargetErrorClass.BAD_NAME),
        (1406, TargetErrorClass.UNSUPPORTED),
        (1402, TargetErrorClass.REFUSED),
        (2, TargetErrorClass.REFUSED),
    ],
)
def test_srt_refusals_are_read_from_their_code(code: int, want: TargetErrorClass) -> None:
    assert from_srt_refusal(ConnectRefused(code), "host").class_ is want
