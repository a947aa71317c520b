"""The times of keyframe requests."""

from __future__ import annotations

import pytest

from sluice_media.whip.keyframes import KeyframeRequests, is_keyframe


@pytest.mark.parametrize(
    ("picture", "want"),
    [
        (b"\0\0\0\1\x67sps\0\0\0\1\x68pps\0\0\0\1\x65idr", True),
        (b"\0\0\1\x65idr", True),
        (b"\0\0\0\1\x41slice\0\0\0\1\x65", False),
        (b"\0\0\0\1\x67sps", False),
        (b"\0\0\1", False),
        (b"", False),
        (b"\0\0\1\x06" * 5_000, False),
    ],
)
def test_a_keyframe_is_recognized_by_its_slices(picture: bytes, want: bool) -> None:
    assert is_keyframe(picture) is want


def ask(requests: KeyframeRequests, now: float) -> bool:
    due = requests.due(now)
    if due:
        requests.requested(now)
    return due


def test_a_request_that_was_not_sent_stays_due() -> None:
    requests = KeyframeRequests(2)
    assert requests.due(0)
    assert requests.due(0.1)


def test_requests_come_at_once_and_every_2_seconds_until_the_first_keyframe() -> None:
    requests = KeyframeRequests(2)
    requested = [now / 10 for now in range(60) if ask(requests, now / 10)]
    assert requested == [0, 2, 4]


def test_a_sender_of_regular_keyframes_gets_no_requests() -> None:
    requests = KeyframeRequests(2)
    assert ask(requests, 0)
    for second in range(1, 20):
        requests.saw_keyframe(second)
        assert not requests.due(second + 0.9)


def test_a_loss_is_answered_at_once_but_not_in_a_burst() -> None:
    requests = KeyframeRequests(2)
    ask(requests, 0)
    requests.saw_keyframe(0.1)
    requested = []
    for now in (0.4, 0.45, 0.5, 0.6, 0.72):
        requests.need()
        if ask(requests, now):
            requested.append(now)
    assert requested == [0.4, 0.72]
