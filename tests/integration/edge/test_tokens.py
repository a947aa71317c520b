"""Signed URLs at the edge: verdicts of the play pod, cached without a way around them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.edge_origin import SESSION, sign
from tests.support.edge_rig import Rig, make_rig
from tests.support.edge_viewers import ask_at_once

KEY = "signing-key"
STREAM = "films/show"
DENIED = "This link does not give access to this stream.\n"
EXPIRED = "This link has expired. Ask for a new one.\n"
SEGMENT = f"{SESSION}/video/3.m4s"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with make_rig(tmp_path_factory.mktemp("tokens"), signing_key=KEY) as made:
        yield made


def _url(rest: str, seconds: int = 3600, key: str = KEY, stream: str = STREAM) -> str:
    return f"/~{sign(key, stream, int(time.time()) + seconds)}/{STREAM}/{rest}"


@pytest.mark.parametrize("rest", ["", "index.m3u8", f"{SESSION}/video.m3u8", SEGMENT])
def test_a_valid_token_sees_everything(rig: Rig, rest: str) -> None:
    assert rig.edge.get(_url(rest)).status == 200


@pytest.mark.parametrize("rest", ["", "index.m3u8", SEGMENT, f"{SESSION}/video/3.1.m4s"])
def test_a_wrong_token_sees_nothing_even_from_the_cache(rig: Rig, rest: str) -> None:
    assert rig.edge.get(_url(rest)).status == 200
    for path in (_url(rest, key="wrong"), _url(rest, stream="films/other"), f"/{STREAM}/{rest}"):
        answer = rig.edge.get(path)
        assert (answer.status, answer.text) == (403, DENIED)
        assert answer.headers["cache-control"] == "no-store"


def test_an_expired_token_is_410(rig: Rig) -> None:
    answer = rig.edge.get(_url("index.m3u8", seconds=-5))
    assert (answer.status, answer.text) == (410, EXPIRED)


def test_a_token_expires_while_its_verdict_is_cached(rig: Rig) -> None:
    path = f"/~{sign(KEY, STREAM, int(time.time()) + 2)}/{STREAM}/index.m3u8"
    assert rig.edge.get(path).status == 200
    time.sleep(2.1)
    assert rig.edge.get(path).status == 410


def test_viewers_with_different_tokens_share_one_copy(rig: Rig) -> None:
    for path in (f"{SESSION}/video/5.m4s", f"{SESSION}/video/5.1.m4s"):
        bodies = {rig.edge.get(_url(path, seconds=at)).body for at in range(100, 110)}
        assert len(bodies) == 1
        assert rig.counts()[f"/{path}"] == 1


def test_a_verdict_is_asked_once(rig: Rig) -> None:
    path = _url("info.json", seconds=777)
    rig.reset()
    for _ in range(20):
        rig.edge.get(path)
    assert sum(count for name, count in rig.counts().items() if "access" in name) == 1


async def test_a_flood_of_wrong_tokens_is_bounded_and_valid_viewers_go_on(rig: Rig) -> None:
    valid = _url("info.json", seconds=888)
    assert rig.edge.get(valid).status == 200
    paths = [f"/~{4_000_000_000 + at}~{'0' * 64}/{STREAM}/info.json" for at in range(600)]
    answers = await ask_at_once(rig.edge.port, [*paths, valid])
    assert {answer.status for answer in answers[:-1]} <= {403, 503}
    assert answers[-1].status == 200
    assert rig.edge.get(valid).status == 200


def test_a_verdict_is_renewed_before_it_ends_and_outlives_the_pod(tmp_path: Path) -> None:
    with make_rig(tmp_path / "renewed", signing_key=KEY, max_age=1) as rig:
        path = _url(SEGMENT)
        assert rig.edge.get(path).status == 200
        until = time.monotonic() + 3
        while time.monotonic() < until:
            answer = rig.edge.get(path)
            assert answer.status == 200
            assert answer.seconds < 0.1
            time.sleep(0.05)
        asked = sum(count for name, count in rig.counts().items() if "access" in name)
        assert 3 <= asked <= 8
        rig.origins[0].kill()
        time.sleep(2)
        assert rig.edge.get(path).status == 200
        assert rig.edge.get(_url(SEGMENT, seconds=55)).status == 503


def test_no_token_is_in_any_log(tmp_path: Path) -> None:
    with make_rig(tmp_path / "logs", signing_key=KEY) as rig:
        good, wrong = _url("index.m3u8"), _url("index.m3u8", key="wrong")
        for path in (good, wrong, _url(SEGMENT), _url("index.m3u8", seconds=-1), _url("a" * 9000)):
            rig.edge.get(path)
        rig.edge.send("POST", good, b"x" * 1000)
        rig.origins[0].kill()
        for rest in ("index.m3u8", SEGMENT, f"{SESSION}/video/6.m4s", f"{SESSION}/video/6.1.m4s"):
            rig.edge.get(_url(rest))
        rig.dns.silent = True
        rig.edge.get(f"/~1~{'0' * 64}/films/unknown/index.m3u8")
        time.sleep(0.2)
        log = rig.edge.log.read_text()
        assert "does not serve" in log
        assert "~" not in log
        for token in (path.split("/")[1].split("~")[2] for path in (good, wrong)):
            assert token not in log
        assert "Bearer" not in log
