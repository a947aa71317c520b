"""Publish paths, wherever an encoder cuts the URL."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.publishing.path import BadPath, parse_publish_path


@pytest.mark.parametrize(
    ("app", "key", "want"),
    [
        ("ns", "stream?token", ("ns", "stream", "token")),
        ("/ns/", "/stream?token", ("ns", "stream", "token")),
        ("ns/stream", "token", ("ns", "stream", "token")),
        ("ns/stream/", "?token", ("ns", "stream", "token")),
        ("ns", "stream/token", ("ns", "stream", "token")),
        ("ns", "stream?to/k=e&n?", ("ns", "stream", "to/k=e&n?")),
    ],
)
def test_paths_that_name_a_stream(app: str, key: str, want: tuple[str, str, str]) -> None:
    found = parse_publish_path(app, key)
    assert (found.namespace, found.stream, found.key.get_secret_value()) == want


@pytest.mark.parametrize(
    ("app", "key"),
    [
        ("", ""),
        ("ns", "stream"),
        ("ns", "stream?"),
        ("ns", "?token"),
        ("ns/stream/more", "token"),
        ("ns/stream", "token?token"),
        ("Ns", "stream?token"),
        ("ns", "str_eam?token"),
        ("ns.svc.evil", "stream?token"),
        ("ns", "-stream?token"),
        ("ns", "s" * 41 + "?token"),
        ("ns", "stream?to ken"),
        ("ns", "stream?token\r\nX: y"),
        ("ns", "stream?" + "t" * 300),
        ("ns", "stream\n?token"),
    ],
)
def test_paths_that_do_not_are_refused_without_being_quoted(app: str, key: str) -> None:
    with pytest.raises(BadPath) as refused:
        parse_publish_path(app, key)
    assert "evil" not in str(refused.value)
    assert "ttt" not in str(refused.value)


def test_no_repr_shows_the_key_and_a_misplaced_one_is_not_shown_in_logs() -> None:
    assert "canary" not in repr(parse_publish_path("ns", "stream?canary"))
    misplaced = parse_publish_path("ns", "0123456789abcdef0123456789abcdef?stream")
    assert "0123" not in misplaced.shown_stream


@given(st.text(max_size=40), st.text(max_size=60))
def test_any_text_is_a_path_or_the_typed_error(app: str, key: str) -> None:
    with contextlib.suppress(BadPath):
        parse_publish_path(app, key)
