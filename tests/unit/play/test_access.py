"""Signed playback URLs: what is allowed, denied and expired."""

from __future__ import annotations

import hmac

import pytest

from sluice_media.play.access import MAX_AGE_SECONDS, Verdict, judge, sign

NOW = 1_800_000_000.0
KEYS = ["new-key", "old-key"]
LATER = int(NOW) + 3_600


def test_a_web_application_signs_with_ten_lines_of_the_standard_library() -> None:
    """The algorithm of the documentation, written without our code."""
    mac = hmac.new(b"new-key", f"/show/town-hall/{LATER}".encode(), "sha256").hexdigest()
    assert judge(f"{LATER}~{mac}", "show", "town-hall", KEYS, NOW).verdict is Verdict.ALLOW


@pytest.mark.parametrize("key", KEYS)
def test_both_keys_are_valid_while_they_are_rotated(key: str) -> None:
    token = sign("show", "a", key, LATER)
    assert judge(token, "show", "a", KEYS, NOW) == (Verdict.ALLOW, MAX_AGE_SECONDS)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "~",
        "garbage",
        f"{LATER}~{'0' * 64}",
        sign("show", "a", "another-key", LATER),
        sign("show", "b", "new-key", LATER),
        sign("other", "a", "new-key", LATER),
        sign("show", "a", "new-key", LATER).upper(),
        f"9{sign('show', 'a', 'new-key', LATER)}",
        f"{LATER}~{'é' * 64}",
    ],
)
def test_every_other_token_is_denied(token: str) -> None:
    assert judge(token, "show", "a", KEYS, NOW).verdict is Verdict.DENY


def test_an_expired_token_is_called_so_only_with_a_right_mac() -> None:
    past = int(NOW) - 1
    assert judge(sign("show", "a", "new-key", past), "show", "a", KEYS, NOW).verdict is (
        Verdict.EXPIRED
    )
    assert judge(f"{past}~{'0' * 64}", "show", "a", KEYS, NOW).verdict is Verdict.DENY


def test_a_verdict_is_not_used_longer_than_the_token_is_valid() -> None:
    token = sign("show", "a", "new-key", int(NOW) + 7)
    assert judge(token, "show", "a", KEYS, NOW).max_age_seconds == 7


def test_without_a_key_nothing_is_allowed() -> None:
    assert judge(sign("show", "a", "", LATER), "show", "a", [], NOW).verdict is Verdict.DENY
