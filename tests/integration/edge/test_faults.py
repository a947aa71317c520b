"""Play pods that die, freeze, refuse or return; a DNS server that is away."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.edge_origin import SESSION, media_bytes
from tests.support.edge_rig import Rig, make_rig

#: Read timeout of the edge plus one more answer.
FAULT_SECONDS = 2.0
PROMPT_SECONDS = 0.2
UNREACHABLE = "No play pod of this stream answers. Try again in a few seconds.\n"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Rig]:
    with make_rig(tmp_path / "pair", replicas=2) as made:
        yield made


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Rig]:
    with make_rig(tmp_path / "single") as made:
        yield made


def _ask_everything(rig: Rig, first: int) -> list[tuple[int, float]]:
    """Return status and seconds of 40 answers: texts, parts, segments, spread over both pods."""
    paths = ["index.m3u8", "info.json", f"{SESSION}/video.m3u8", f"{SESSION}/audio.m3u8"]
    for number in range(first, first + 12):
        paths += [f"{SESSION}/video/{number}.{part}.m4s" for part in range(2)]
        paths.append(f"{SESSION}/video/{number}.m4s")
    answers = [rig.get(path) for path in paths]
    return [(answer.status, answer.seconds) for answer in answers]


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_the_fault_of_one_of_two_pods_delays_answers_once(pair: Rig, fault: signal.Signals) -> None:
    assert {status for status, _ in _ask_everything(pair, 0)} == {200}
    pair.origins[0].send(fault)
    answers = _ask_everything(pair, 12)
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < FAULT_SECONDS
    late = [seconds for _, seconds in answers if seconds > PROMPT_SECONDS]
    assert len(late) <= (1 if fault is signal.SIGSTOP else 0)
    metrics = pair.edge.metrics()
    assert metrics["sluice_edge_bad_peers"] == 1
    errors = [value for name, value in metrics.items() if "origin_errors_total" in name]
    assert sum(errors) >= 1
    if fault is signal.SIGSTOP:
        pair.origins[0].send(signal.SIGCONT)
        time.sleep(6)
        # The probe after 5 seconds has found it again.
        assert pair.edge.metrics()["sluice_edge_bad_peers"] == 0


def test_the_first_part_after_a_freeze_is_late_by_the_read_timeout_only(pair: Rig) -> None:
    pair.get("index.m3u8")
    for origin in pair.origins:
        origin.reset()
    pair.origins[1].send(signal.SIGSTOP)
    answers = [pair.get(f"{SESSION}/video/{number}.m4s") for number in range(8)]
    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < FAULT_SECONDS
    pair.origins[1].send(signal.SIGCONT)


def test_the_death_of_a_pod_in_a_growing_segment_is_invisible(pair: Rig) -> None:
    number = pair.finished // pair.parts + 1
    pair.wait_part(number * pair.parts)
    path = pair.path(f"{SESSION}/video/{number}.m4s")
    found = []
    viewer = threading.Thread(target=lambda: found.append(pair.edge.get(path)))
    viewer.start()
    time.sleep(0.8)
    pair.origins[0].kill()
    viewer.join(10)
    expected = b"".join(media_bytes(f"video/{number}.{at}.m4s", 20_000) for at in range(4))
    assert found[0].body == expected
    assert found[0].seconds < 4 * pair.part_seconds + 0.5


def test_a_pod_that_is_not_ready_is_left_to_its_sibling(pair: Rig) -> None:
    pair.origins[0].set(ready=0)
    answers = _ask_everything(pair, 0)
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < PROMPT_SECONDS
    pair.origins[0].reset()
    _ask_everything(pair, 12)
    # A bad pod gets no requests.
    assert set(pair.origins[0].counts()) <= {"/ready"}


@pytest.mark.parametrize("fault", ["closes the connection", "stops"])
def test_the_end_of_a_pod_in_mid_answer_is_invisible(pair: Rig, fault: str) -> None:
    pair.origins[0].set(half=1 if fault == "closes the connection" else 2)
    for number in range(4):
        assert pair.get(f"{SESSION}/video/{number}.m4s").seconds < FAULT_SECONDS
    answers = _ask_everything(pair, 4)
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < FAULT_SECONDS
    for number in range(4):
        expected = b"".join(media_bytes(f"video/{number}.{at}.m4s", 20_000) for at in range(4))
        assert pair.get(f"{SESSION}/video/{number}.m4s").body == expected
        assert pair.get(f"{SESSION}/video/{number}.0.m4s").body == expected[:20_000]


def test_a_pod_with_an_error_is_left_to_its_sibling(pair: Rig) -> None:
    pair.origins[0].set(broken=1)
    answers = _ask_everything(pair, 0)
    assert {status for status, _ in answers} == {200}


def test_without_any_pod_the_answer_is_a_sentence_and_the_page_still_opens(single: Rig) -> None:
    assert single.get("index.m3u8").status == 200
    single.origins[0].kill()
    for _ in range(5):
        answer = single.get("index.m3u8")
        assert (answer.status, answer.text) == (503, UNREACHABLE)
        assert answer.headers["retry-after"] == "1"
        assert answer.seconds < PROMPT_SECONDS
    assert single.get("").status == 200


def test_what_is_in_the_cache_is_served_without_any_pod(single: Rig) -> None:
    paths = [f"{SESSION}/video/3.m4s", f"{SESSION}/video/3.1.m4s", f"{SESSION}/video/init.0.mp4"]
    for path in paths:
        assert single.get(path).status == 200
    single.origins[0].kill()
    for path in paths:
        assert single.get(path).status == 200
        assert single.get(path, {"Range": "bytes=0-9"}).status == 206


def test_a_pod_that_returns_is_found_within_two_seconds(single: Rig) -> None:
    single.get("index.m3u8")
    single.origins[0].kill()
    assert single.get("index.m3u8").status == 503
    time.sleep(2.5)
    assert single.get("index.m3u8").status == 503
    single.origins[0].start()
    returned = time.monotonic()
    while single.get("index.m3u8").status != 200:
        assert time.monotonic() - returned < 2
        time.sleep(0.1)


def test_good_pods_are_never_probed(pair: Rig) -> None:
    _ask_everything(pair, 0)
    time.sleep(2)
    assert "/ready" not in pair.counts()


def test_an_object_that_does_not_come_is_repeated_for_six_seconds(single: Rig) -> None:
    last = single.finished
    single.origins[0].set(last=last)
    number, part = divmod(last, single.parts)
    answer = single.get(f"{SESSION}/video/{number}.{part}.m4s")
    assert answer.status == 503
    assert 4.5 < answer.seconds < 7
    assert single.counts()[f"/{SESSION}/video/{number}.{part}.m4s"] < 10
    # A pod that only waits is not bad.
    assert single.edge.metrics()["sluice_edge_bad_peers"] == 0


def test_a_growing_segment_that_stops_ends_as_incomplete(single: Rig) -> None:
    number = single.finished // single.parts + 1
    single.origins[0].set(last=number * single.parts + 2)
    single.wait_part(number * single.parts + 2)
    path = single.path(f"{SESSION}/video/{number}.m4s").encode()
    answer = single.edge.raw(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.count(b"4e20\r\n") == 2
    # The last chunk of a complete body has the size 0.
    assert not answer.endswith(b"0\r\n\r\n")


def test_known_addresses_stay_true_while_the_dns_is_away(single: Rig) -> None:
    assert single.get("index.m3u8").status == 200
    single.dns.silent = True
    until = time.monotonic() + 6
    while time.monotonic() < until:
        answer = single.get("index.m3u8")
        assert answer.status == 200
        assert answer.seconds < PROMPT_SECONDS
        time.sleep(0.2)
    answer = single.edge.get("/films/unknown/index.m3u8")
    assert (answer.status, answer.text) == (503, UNREACHABLE)


def test_a_stream_without_ready_pods_is_503_and_not_404(single: Rig) -> None:
    single.get("index.m3u8")
    single.dns.records[single.name] = []
    time.sleep(1.2)
    single.get("index.m3u8")
    time.sleep(0.2)
    assert single.get("index.m3u8").status == 503


def test_a_new_pod_is_found_when_the_ttl_ends(pair: Rig) -> None:
    hosts = pair.dns.records[pair.name]
    pair.dns.records[pair.name] = hosts[:1]
    pair.get("index.m3u8")
    pair.dns.records[pair.name] = hosts
    time.sleep(1.2)
    _ask_everything(pair, 0)
    assert {path for path in pair.origins[1].counts() if path != "/ready"}


@pytest.mark.parametrize("trick", ["forge", "alias", "truncate"])
def test_addresses_are_read_from(single: Rig, trick: str) -> None:
    setattr(single.dns, trick, True)
    if trick == "truncate":
        single.dns.records[single.name] *= 2
    assert single.get("index.m3u8").status == 200


def test_a_new_edge_key_is_used_without_a_restart(single: Rig) -> None:
    assert single.get("index.m3u8").status == 200
    single.key_file.write_text("another-key")
    time.sleep(3.5)
    answer = single.get("index.m3u8")
    assert (answer.status, answer.text) == (502, "The play pod does not accept the edge's token.\n")
    single.key_file.unlink()
    time.sleep(3.2)
    single.key_file.write_text("the-edge-key")
    time.sleep(3.5)
    assert single.get("index.m3u8").status == 200


def test_the_edge_is_not_ready_without_a_key(tmp_path: Path) -> None:
    missing = {"SLUICE_EDGE_KEY_FILE": str(tmp_path / "none")}
    with make_rig(tmp_path / "keyless", edge=missing) as rig:
        assert rig.edge.health("/readyz").status == 503
        assert rig.edge.health("/healthz").status == 200
        assert rig.get("index.m3u8").status == 503
