"""Answers of the edge to one viewer: kinds, headers, ranges, gzip, CORS, methods."""

from __future__ import annotations

import gzip
import re
import time
from datetime import UTC, datetime

import pytest

from tests.support.edge_origin import SESSION, media_bytes
from tests.support.edge_rig import Rig

SEGMENT = f"{SESSION}/video/3.m4s"
PART = f"{SESSION}/video/3.1.m4s"
INIT = f"{SESSION}/video/init.0.mp4"
PLAYLIST = f"{SESSION}/video.m3u8"
IMMUTABLE = "public, max-age=31536000, immutable"
PARTS = [media_bytes(f"video/3.{at}.m4s", 20_000) for at in range(4)]
BODIES = {SEGMENT: b"".join(PARTS), PART: PARTS[1]}


@pytest.mark.parametrize(
    ("rest", "content_type", "cache"),
    [
        ("", "text/html", "no-cache"),
        ("info.json", "application/json", "no-store"),
        ("index.m3u8", "application/vnd.apple.mpegurl", "no-store"),
        ("mpegts.m3u8", "application/vnd.apple.mpegurl", "no-store"),
        ("index.mpd", "application/dash+xml", "no-store"),
        ("screenshot.jpg", "image/jpeg", "max-age=2"),
        (PLAYLIST, "application/vnd.apple.mpegurl", "no-store"),
        (SEGMENT, "video/mp4", IMMUTABLE),
        (PART, "video/mp4", IMMUTABLE),
        (INIT, "video/mp4", IMMUTABLE),
        (f"{SESSION}/ts/3.ts", "video/mp4", IMMUTABLE),
    ],
)
def test_every_kind_has_its_type_and_its_time_in_caches(
    rig: Rig, rest: str, content_type: str, cache: str
) -> None:
    for _ in range(2):
        answer = rig.get(rest)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(content_type)
        assert answer.headers["cache-control"] == cache
        assert answer.headers["access-control-allow-origin"] == "*"
        assert int(answer.headers["content-length"]) == len(answer.body) > 0


def test_the_time_is_that_of_the_edge_in_milliseconds(rig: Rig) -> None:
    answer = rig.get("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer.text)
    shown = datetime.fromisoformat(answer.text)
    assert abs((datetime.now(UTC) - shown).total_seconds()) < 1
    assert answer.headers["cache-control"] == "no-store"


def test_the_page_without_its_last_slash_is_a_redirect_below_the_same_prefix(rig: Rig) -> None:
    answer = rig.edge.get("/films/show?muted=1")
    assert (answer.status, answer.headers["location"]) == (301, "show/?muted=1")


@pytest.mark.parametrize("rest", [SEGMENT, PART])
def test_the_whole_body_is_that_of_the_origin(rig: Rig, rest: str) -> None:
    assert rig.get(rest).body == BODIES[rest]


@pytest.mark.parametrize("rest", [SEGMENT, PART])
@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, None),
        ("bytes=-50", -50, None),
        ("bytes=19000-9999999", 19000, None),
    ],
)
def test_a_range_is_answered_with_these_bytes(
    rig: Rig, rest: str, wanted: str, first: int, last: int | None
) -> None:
    answer = rig.get(rest, {"Range": wanted})
    whole = BODIES[rest]
    begin = first % len(whole)
    assert answer.status == 206
    assert answer.body == whole[first:last]
    end = begin + len(answer.body) - 1
    assert answer.headers["content-range"] == f"bytes {begin}-{end}/{len(whole)}"


@pytest.mark.parametrize("rest", [SEGMENT, PART])
def test_a_range_beyond_the_end_is_refused(rig: Rig, rest: str) -> None:
    answer = rig.get(rest, {"Range": "bytes=900000-"})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(BODIES[rest])}"


@pytest.mark.parametrize("rest", [SEGMENT, PART])
@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=a-b", "lines=1-2"])
def test_a_malformed_range_is_not_taken_for_another_one(rig: Rig, rest: str, wanted: str) -> None:
    assert rig.get(rest, {"Range": wanted}).status in (200, 416)


@pytest.mark.parametrize("rest", [SEGMENT, PART, INIT])
def test_an_immutable_file_is_not_sent_again(rig: Rig, rest: str) -> None:
    tag = rig.get(rest).headers["etag"]
    answer = rig.get(rest, {"If-None-Match": tag})
    assert (answer.status, answer.body) == (304, b"")
    assert rig.get(rest, {"If-None-Match": '"another"'}).status == 200


@pytest.mark.parametrize("rest", [SEGMENT, PART])
def test_a_range_with_another_version_gets_the_whole_file(rig: Rig, rest: str) -> None:
    tag = rig.get(rest).headers["etag"]
    assert rig.get(rest, {"Range": "bytes=0-9", "If-Range": tag}).status == 206
    assert rig.get(rest, {"Range": "bytes=0-9", "If-Range": '"another"'}).status == 200


def test_a_picture_comes_from_memory_during_its_age(rig: Rig) -> None:
    rig.get("screenshot.jpg")
    before = rig.counts()["/screenshot.jpg"]
    answer = rig.get("screenshot.jpg", {"If-None-Match": '"picture"'})
    assert answer.status == 304
    assert rig.counts()["/screenshot.jpg"] - before <= 1


@pytest.mark.parametrize("rest", ["index.m3u8", "index.mpd", PLAYLIST])
@pytest.mark.parametrize("accepted", ["gzip", "br, gzip;q=0.5", "*", "GZIP", "deflate, *;q=0.1"])
def test_a_playlist_is_compressed_for_those_who_take_it(rig: Rig, rest: str, accepted: str) -> None:
    answer = rig.get(rest, {"Accept-Encoding": accepted})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert len(answer.body) < 1000
    assert gzip.decompress(answer.body)[:5] in (b"#EXTM", b"<MPD/")


@pytest.mark.parametrize(
    "accepted", [None, "identity", "gzip;q=0", "br", "*;q=0", "gzip; q=0.0, *"]
)
def test_a_playlist_is_not_compressed_for_others(rig: Rig, accepted: str | None) -> None:
    headers = {"Accept-Encoding": accepted} if accepted else {"Accept-Encoding": ""}
    answer = rig.get("index.m3u8", headers)
    assert "content-encoding" not in answer.headers
    assert answer.headers["vary"] == "Accept-Encoding"


def test_a_preflight_is_answered_without_the_origin(rig: Rig) -> None:
    rig.reset()
    answer = rig.edge.send("OPTIONS", rig.path(SEGMENT))
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Range" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert rig.counts() == {}


@pytest.mark.parametrize("rest", ["", "index.m3u8", "time", SEGMENT, PART, "screenshot.jpg"])
def test_head_has_the_headers_of_get_and_no_body(rig: Rig, rest: str) -> None:
    answer = rig.edge.send("HEAD", rig.path(rest))
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) == len(rig.get(rest).body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_other_methods_are_refused(rig: Rig, method: str) -> None:
    answer = rig.edge.send(method, rig.path("index.m3u8"))
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.text == "Only GET, HEAD and OPTIONS are possible here.\n"


def test_a_body_is_refused(rig: Rig) -> None:
    path = rig.path("index.m3u8").encode()
    assert rig.edge.send("GET", rig.path("index.m3u8"), b"x" * 100).status == 413
    head = b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert b" 413 " in rig.edge.raw(head + b"Content-Length: 1\r\n\r\nx").split(b"\r\n")[0]
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    assert b" 413 " in rig.edge.raw(chunked).split(b"\r\n")[0]


def test_the_players_files_are_served_below_a_name_that_no_namespace_has(rig: Rig) -> None:
    hashed = rig.edge.get("/_player/app-ABCDEF12.js", {"Accept-Encoding": "gzip"})
    assert hashed.headers["content-type"] == "text/javascript"
    assert hashed.headers["cache-control"] == IMMUTABLE
    assert gzip.decompress(hashed.body).startswith(b"console.log(1)")
    assert rig.edge.get("/_player/plain.js").headers["cache-control"] == "public, max-age=300"
    assert rig.edge.get("/_player/none.js").status == 404
    # nginx itself refuses a path above the root.
    assert rig.edge.get("/_player/..%2f..%2fkey").status == 400
    assert rig.edge.get("/_player/..%2fkey").status == 404


def test_a_growing_segment_comes_part_by_part(rig: Rig) -> None:
    number = rig.finished // rig.parts + 1
    rig.wait_part(number * rig.parts + 1)
    answer = rig.get(f"{SESSION}/video/{number}.m4s", {"Range": "bytes=0-9"})
    expected = b"".join(media_bytes(f"video/{number}.{at}.m4s", 20_000) for at in range(4))
    assert (answer.status, answer.body) == (200, expected)
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers
    assert 1.0 < answer.seconds < 2.0
    finished = rig.get(f"{SESSION}/video/{number}.m4s")
    assert finished.headers["cache-control"] == IMMUTABLE
    assert finished.body == expected


def test_the_parts_of_a_growing_segment_are_those_of_low_latency_hls(rig: Rig) -> None:
    number = rig.finished // rig.parts + 1
    rig.wait_part(number * rig.parts)
    rig.get(f"{SESSION}/video/{number}.m4s")
    rig.reset()
    for part in range(rig.parts):
        assert rig.get(f"{SESSION}/video/{number}.{part}.m4s").status == 200
    assert rig.counts() == {}


def test_a_blocking_reload_returns_when_the_part_is_there(rig: Rig) -> None:
    number, part = divmod(rig.finished + 1, rig.parts)
    rig.wait_part(number * rig.parts + part)
    answer = rig.get(f"{PLAYLIST}?_HLS_msn={number}&_HLS_part={part}")
    assert f"video/{number}.{part}.m4s" in answer.text
    assert 0.2 < answer.seconds < 0.8


@pytest.mark.parametrize(
    "query", ["_HLS_msn=x", "_HLS_part=1", "_HLS_msn=1&_HLS_part=-1", "_HLS_msn=007", "_HLS_msn="]
)
def test_a_malformed_reload_is_refused_at_the_edge(rig: Rig, query: str) -> None:
    rig.reset()
    answer = rig.get(f"{PLAYLIST}?{query}")
    assert (answer.status, answer.text) == (400, "This request is not valid for this playlist.\n")
    assert "/access?token=" in rig.counts() or rig.counts() == {}


def test_a_reload_far_ahead_has_the_origins_status(rig: Rig) -> None:
    assert rig.get(f"{PLAYLIST}?_HLS_msn=99999").status == 400


def test_only_known_parameters_reach_the_origin_in_one_order(rig: Rig) -> None:
    rig.reset()
    rig.get(f"{PLAYLIST}?x=1&_HLS_part=0&_HLS_skip=YES&_HLS_msn=1&get_duration_sec=true")
    rig.get("mpegts.m3u8?utm=2&get_duration_sec=true")
    rig.get(f"{SESSION}/ts/4.ts?duration_sec=2.0")
    asked = {path for path in rig.counts() if not path.startswith("/access")}
    assert asked == {
        f"/{PLAYLIST}?_HLS_msn=1&_HLS_part=0&_HLS_skip=YES",
        "/mpegts.m3u8?get_duration_sec=true",
        f"/{SESSION}/ts/4.ts",
    }


def test_a_session_that_is_over_is_410(rig: Rig) -> None:
    answer = rig.get(f"{'f' * 16}/video.m3u8")
    assert (answer.status, answer.text) == (410, "This is over. Load the page again.\n")
    assert answer.headers["cache-control"] == "no-store"


def test_a_part_beyond_the_end_of_its_segment_is_404(rig: Rig) -> None:
    assert rig.get(f"{SESSION}/video/3.9.m4s").status == 404


def test_health_and_readiness_are_on_the_second_port(rig: Rig) -> None:
    assert rig.edge.health("/healthz").text == "ok\n"
    assert rig.edge.health("/readyz").text == "ready\n"
    assert rig.edge.get("/metrics").status == 404
    deadline = time.monotonic() + 5
    while rig.edge.health("/readyz").status != 200:
        assert time.monotonic() < deadline
