"""Failures as sentences for producers, without any quote of FFmpeg's output."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from sluice_media.pull.failures import Outcome, from_dial_error, from_http_status, from_stderr

PLACE = "rtmp://h.example:1935"


@pytest.mark.parametrize(
    ("error", "outcome", "words"),
    [
        (socket.gaierror(-2, "x"), Outcome.DNS, "does not resolve"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), Outcome.REFUSED, "nothing listens"),
        (TimeoutError(), Outcome.TIMEOUT, "does not answer"),
        (OSError(errno.EHOSTUNREACH, "x"), Outcome.REFUSED, "no route"),
        (ConnectionResetError(errno.ECONNRESET, "x"), Outcome.RESET, "reset"),
        (ssl.SSLError(1, "x"), Outcome.TLS, "TLS"),
    ],
)
def test_errors_of_the_network(error: OSError, outcome: Outcome, words: str) -> None:
    failure = from_dial_error(error, PLACE)
    assert failure.outcome is outcome
    assert words in failure.message
    assert PLACE in failure.message


def test_statuses() -> None:
    assert from_http_status(206, PLACE) is None
    for status, outcome in ((401, Outcome.UNAUTHORIZED), (403, Outcome.UNAUTHORIZED),
                            (404, Outcome.NOT_FOUND), (418, Outcome.SERVER_ERROR),
                            (503, Outcome.SERVER_ERROR)):  # fmt: skip
        failure = from_http_status(status, PLACE)
        assert failure is not None
        assert failure.outcome is outcome
        assert str(status) in failure.message


def test_ffmpegs_output_is_searched_and_never_shown() -> None:
    lines = ["[rtmp] Server error: Failed to play S3CRET; stream not found."]
    failure = from_stderr(lines, PLACE)
    assert failure is not None
    assert failure.outcome is Outcome.NOT_FOUND
    assert "S3CRET" not in failure.message
    assert from_stderr(["S3CRET is odd"], PLACE) is None
