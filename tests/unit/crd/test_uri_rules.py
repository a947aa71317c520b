"""The CEL rules of a source's uri, evaluated as the API server does: it has the last word in
tests/cluster, but a rule that lets a secret through is found here."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sluice_operator.api.v1alpha1 import LiveStreamSpec
from sluice_operator.crd.schema import structural_schema

_TERM = re.compile(r"self\.(matches|startsWith)\('((?:[^'\\]|\\.)*)'\)|(&&)|(\|\|)|(!)|([()])|\s+")


def holds(rule: str, value: str) -> bool:
    """A rule of nothing but ``self.matches``, ``self.startsWith``, ``!``, ``&&``, ``||``."""
    python, at = "", 0
    while at < len(rule):
        found = _TERM.match(rule, at)
        assert found is not None, f"not understood: {rule[at:]}"
        function, argument, both, either, negated, bracket = found.groups()
        if function:
            text = re.sub(r"\\(.)", r"\1", argument)
            hit = re.search(text, value) if function == "matches" else value.startswith(text)
            python += str(bool(hit))
        elif both or either:
            python += " and " if both else " or "
        else:
            python += "(not (" if negated else bracket or ""
            if negated:
                end = _operand(rule, found.end())
                python += f"{holds(rule[found.end() : end], value)}))"
                at = end
                continue
        at = found.end()
    return bool(eval(python, {}))


def _operand(rule: str, at: int) -> int:
    """Where the operand of a ``!`` ends."""
    if rule[at] == "(":
        depth = 0
        for token in re.finditer(r"'(?:[^'\\]|\\.)*'|[()]", rule[at:]):
            depth += {"(": 1, ")": -1}.get(token.group(), 0)
            if depth == 0:
                return at + token.end()
    found = _TERM.match(rule, at)
    assert found is not None
    return found.end()


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
