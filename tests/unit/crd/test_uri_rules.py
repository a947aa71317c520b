"""The CEL rules of uris: of a source that is pulled, and of a target that is pushed to."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_operator.api.v1alpha1 import LiveStreamSpec, RestreamSpec
from sluice_operator.crd.schema import structural_schema
from tests.unit.crd.cel import holds


def broken(uri: str) -> list[str]:
    schema: Any = structural_schema(LiveStreamSpec)
    source = schema["properties"]["source"]["properties"]["pull"]["properties"]["uris"]["items"]
    rules = source["properties"]["uri"]["x-kubernetes-validations"]
    return [rule["message"] for rule in rules if not holds(rule["rule"], uri)]


@pytest.mark.parametrize(
    "uri",
    [
        "rtmp://a.example.org/live/x",
        "rtmps://a.example.org:443/live/x",
        "rtmp://192.0.2.1:1935/live/x",
        "rtmp://[2001:db8::1]:1935/live",
        "srt://a.example.org:9000",
        "srt://a.example.org:9000?mode=caller",
        "srt://[2001:db8::1]:9000?latency=200&mode=caller",
        "http://a.example.org/x.m3u8",
        "https://a.example.org/live/x.ts",
        "https://a.example.org",
        "rtsp://camera-1.local:554/stream1",
        "rtsps://camera-1.local/stream1",
    ],
)
def test_taken(uri: str) -> None:
    assert broken(uri) == []


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("a.example.org/live", "must begin with rtmp://"),
        ("file:///etc/passwd", "must begin with rtmp://"),
        ("concat:a", "must begin with rtmp://"),
        ("RTMP://a.example.org/live", "must begin with rtmp://"),
        ("udp://a.example.org:1", "must begin with rtmp://"),
        ("rtmp://a.example.org/live x", "without spaces and without '|'"),
        ("http://a.example.org/a|file:/etc/passwd", "without spaces and without '|'"),
        ("http://a.example.org/a\nb", "without spaces and without '|'"),
        ("http://bücher.example/a", "ASCII"),
        ("rtsp://me:secret@camera/stream1", "must not carry a user or password"),
        ("rtmp://me@a.example.org/live", "must not carry a user or password"),
        ("srt://me@a.example.org:1?mode=listener", "must not carry a user or password"),
        ("https://a.example.org/x.m3u8?token=secret", "must not carry a query or fragment"),
        ("rtmp://a.example.org/live/x#key", "must not carry a query or fragment"),
        ("srt://a.example.org:1?streamid=secret", "only mode and latency may stand here"),
        ("srt://a.example.org:1?mode=caller&passphrase=x", "only mode and latency"),
        ("srt://a.example.org:1?mode=caller&mode=listener", "the mode can only be caller"),
        ("srt://0.0.0.0:1?mode=listener", "the mode can only be caller"),
        ("srt://0.0.0.0:1?mode=rendezvous&latency=1", "the mode can only be caller"),
        ("srt://a.example.org", "must name a port"),
        ("srt://a.example.org?mode=caller", "must name a port"),
        ("rtmp:///live", "must name a server"),
        ("http://a.example.org:port/x", "must name a server"),
        ("http://[::1/x", "must name a server"),
    ],
)
def test_refused_with_one_sentence(uri: str, words: str) -> None:
    [message] = broken(uri)
    assert words in message


def broken_target(uri: str) -> list[str]:
    schema: Any = structural_schema(RestreamSpec)
    rules = schema["properties"]["uri"]["x-kubernetes-validations"]
    return [rule["message"] for rule in rules if not holds(rule["rule"], uri)]


@pytest.mark.parametrize(
    "uri",
    [
        "rtmp://a.example.org/live",
        "rtmp://192.0.2.1:1935/live/deep",
        "rtmps://a.example.org:443/live",
        "rtmps://[2001:db8::1]/live",
        "srt://a.example.org:9000",
        "srt://a.example.org:9000?latency=500",
        "srt://[2001:db8::1]:9000/?mode=caller&latency=200",
    ],
)
def test_targets_that_are_taken(uri: str) -> None:
    assert broken_target(uri) == []


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("a.example.org/live", "must begin with rtmp://, rtmps:// or srt://"),
        ("https://a.example.org/live", "must begin with rtmp://, rtmps:// or srt://"),
        ("RTMP://a.example.org/live", "must begin with rtmp://, rtmps:// or srt://"),
        ("rtmp://a.example.org/live x", "ASCII characters"),
        ("rtmps://me:secret@a.example.org/live", "must not carry a user or password"),
        ("srt://me@a.example.org:1?mode=listener", "must not carry a user or password"),
        ("rtmps://a.example.org/live?key=secret", "must not carry a query or fragment"),
        ("rtmp://a.example.org?key=secret", "must not carry a query or fragment"),
        ("rtmp://a.example.org/live#secret", "must not carry a query or fragment"),
        ("srt://a.example.org:1?streamid=secret", "a streamid belongs into streamKeySecretRef"),
        ("srt://a.example.org:1?mode=caller&passphrase=x", "a passphrase into passphraseSecretRef"),
        ("srt://a.example.org:1#secret", "only mode and latency may stand here"),
        ("srt://0.0.0.0:1?mode=listener", "use mode=caller here"),
        ("srt://a.example.org:1?mode=rendezvous&passphrase=x", "use mode=caller here"),
        ("srt://a.example.org", "must be srt://SERVER:PORT"),
        ("srt://a.example.org:1/secret", "must be srt://SERVER:PORT"),
        ("rtmp:///live", "must name a server"),
        ("srt://:9000", "must name a server"),
        ("rtmp://a.example.org", "must be rtmp://SERVER/APP"),
        ("rtmps://a.example.org/", "must be rtmp://SERVER/APP"),
    ],
)
def test_targets_that_are_refused_with_one_sentence(uri: str, words: str) -> None:
    [message] = broken_target(uri)
    assert words in message
