"""Paths outside of the URL space: no origin request, no DNS query."""

from __future__ import annotations

import time

import pytest

from tests.support.edge_origin import SESSION
from tests.support.edge_rig import Rig, dns_name

MAC = "0" * 64


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/films",
        "/films/show/../show/index.m3u8",
        "/films/show/%2e%2e/index.m3u8",
        "/films%2fshow/index.m3u8",
        "/films/show%2findex.m3u8",
        "/films/show%5cindex.m3u8",
        "/films/show/%69ndex.m3u8",
        "//films/show/index.m3u8",
        "/films//show/index.m3u8",
        "/films/show//index.m3u8",
        "/films/show//",
        "/films/show/index.m3u8/",
        "/films/show/index.m3u8%00",
        "/Films/show/index.m3u8",
        "/films/1show/index.m3u8",
        "/films/-show/index.m3u8",
        "/films/show-/index.m3u8",
        "/films.kube-system/show/index.m3u8",
        "/films/show.other/index.m3u8",
        f"/films/{'s' * 41}/index.m3u8",
        f"/{'n' * 64}/show/index.m3u8",
        "/films/show/access",
        "/films/show/access?token=",
        "/films/show/ready",
        "/films/show/sibling/x",
        "/films/show/control/set?ready=0",
        f"/films/show/{SESSION[:-1]}/video.m3u8",
        f"/films/show/{SESSION.upper()}/video.m3u8",
        f"/films/show/{SESSION}/video/03.m4s",
        f"/films/show/{SESSION}/video/3.m4s.bak",
        f"/films/show/{SESSION}/video/-3.m4s",
        f"/films/show/{SESSION}/video/99999999999.m4s",
        f"/films/show/{SESSION}/video/init.mp4",
        f"/films/show/{SESSION}/ts/3.m4s",
        f"/films/show/{SESSION}/video/more/3.m4s",
        "/_sluice/object",
        "/_sluice/page",
        "/_sluice/failed",
        "/films/show/../../_sluice/object",
    ],
)
def test_a_path_outside_of_the_grammar_is_404_without_a_request(rig: Rig, path: str) -> None:
    rig.get("index.m3u8")
    rig.reset()
    rig.dns.queries.clear()
    answer = rig.edge.get(path)
    # nginx itself refuses NUL with 400.
    assert answer.status == (400 if "%00" in path else 404)
    asked = {path: count for path, count in rig.counts().items() if path != "/access?token="}
    assert asked == {}
    assert set(rig.dns.queries) <= {rig.name}


@pytest.mark.parametrize(
    "line",
    [b"GET /films/show/../../../etc/passwd", b"GET /films/show/index.m3u8\0", b"GET \\films\\show"],
)
def test_a_raw_request_line_with_a_trick_is_refused(rig: Rig, line: bytes) -> None:
    rig.reset()
    answer = rig.edge.raw(line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in (b"400", b"404")
    assert rig.counts() == {}


def test_a_malformed_token_is_refused_without_a_request(rig: Rig) -> None:
    rig.reset()
    for token in ("~", "~1", "~1~", "~x~" + MAC, "~1~" + MAC[:-1], "~1~" + MAC[:-1] + "G"):
        assert rig.edge.get(f"/{token}/films/show/index.m3u8").status == 403
    assert rig.counts() == {}


def test_a_stream_that_does_not_exist_costs_one_query_in_three_seconds(rig: Rig) -> None:
    answers = [rig.edge.get("/films/none/index.m3u8") for _ in range(50)]
    assert {answer.status for answer in answers} == {404}
    assert answers[0].text == "There is nothing at this address.\n"
    assert rig.dns.queries[dns_name("films/none")] == 1


def test_a_flood_of_unknown_names_is_limited_and_disturbs_no_known_stream(rig: Rig) -> None:
    rig.get("index.m3u8")
    rig.dns.queries.clear()
    statuses = [rig.edge.get(f"/films/flood{at}/index.m3u8").status for at in range(400)]
    assert set(statuses) <= {404, 503}
    unknown = sum(count for name, count in rig.dns.queries.items() if "flood" in name)
    # 50 at once, and 50 in each second.
    assert unknown < 250
    assert rig.get("index.m3u8").status == 200


def test_a_new_stream_is_found_after_its_negative_answer_has_ended(rig: Rig) -> None:
    assert rig.edge.get("/films/later/info.json").status in (404, 503)
    rig.dns.records[dns_name("films/later")] = [rig.origins[0].host]
    time.sleep(3.2)
    # The origin refuses the token of another stream.
    assert rig.edge.get("/films/later/info.json").status == 502
