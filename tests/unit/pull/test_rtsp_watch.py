"""An RTSP source cannot redirect FFmpeg."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_media.pull.rtsp_watch import RtspRefusedError, RtspWatch

OK = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 5\r\n\r\nhello"
MOVED = b"RTSP/1.0 302 Moved\r\nLocation: rtsp://169.254.169.254/\r\n\r\n"


@given(st.lists(st.integers(0, 200), max_size=6))
def test_answers_pass_as_a_whole_however_they_are_cut(cuts: list[int]) -> None:
    watch, passed = RtspWatch(), b""
    data = OK + b"$\0\0\x03abc" + OK
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        passed += watch.received(data[start:end])
    assert passed == data
    assert watch.status == 200


@given(st.integers(1, len(MOVED)))
def test_a_redirect_is_refused_and_not_one_byte_of_it_passes(cut: int) -> None:
    watch = RtspWatch()
    assert watch.received(OK + MOVED[: cut - 1]) == OK
    with pytest.raises(RtspRefusedError) as refused:
        watch.received(MOVED[cut - 1 :])
    assert refused.value.status == 302


@pytest.mark.parametrize(
    "answer",
    [
        b"RTSP/1.0\t302 Moved\r\nLocation: x\r\n\r\n",
        b"RTSP/1.0  302 Moved\r\n\r\n",
        b"\nRTSP/1.0 302 Moved\r\n\r\n",
        b"HTTP/1.0 302 Moved\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 999999\r\n\r\n",
        b"RTSP/1.0 200 OK\nLocation: x\r\n\r\n",
        b"REDIRECT rtsp://h/ RTSP/1.0\r\nLocation: x\r\n\r\n",
        b"x" * 20_000,
    ],
)
def test_ambiguous_messages_are_refused(answer: bytes) -> None:
    with pytest.raises(RtspRefusedError):
        RtspWatch().received(answer)


def test_media_passes_unchanged_after_play() -> None:
    watch = RtspWatch()
    watch.sent(b"PLAY rtsp://h/ RTSP/1.0\r\n\r\n")
    assert watch.received(b"\0anything") == b"\0anything"
