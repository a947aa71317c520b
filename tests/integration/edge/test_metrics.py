"""Metrics of the edge: counters by stream and kind, viewers, and their bounds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from sluice_media.play.edge_check import USER_AGENT
from tests.support.edge_origin import SESSION
from tests.support.edge_rig import Rig, dns_name, make_rig
from tests.support.edge_viewers import ask_at_once

OTHERS = [f"films/other{at}" for at in range(6)]
LABELS = 'namespace="films",stream="show"'
VIEWERS = f"sluice_edge_viewers{{{LABELS}}}"


@pytest.fixture
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("metrics")
    with make_rig(
        folder,
        edge={"SLUICE_WORKERS": "2", "SLUICE_METRIC_STREAMS": "3", "SLUICE_METRIC_SECONDS": "4"},
        also=",".join(OTHERS),
    ) as made:
        yield made


def test_requests_and_bytes_are_counted_by_kind(rig: Rig) -> None:
    paths = {
        "page": "",
        "playlist": "index.m3u8",
        "part": f"{SESSION}/video/3.1.m4s",
        "segment": f"{SESSION}/video/3.m4s",
        "init": f"{SESSION}/video/init.0.mp4",
        "screenshot": "screenshot.jpg",
    }
    sizes = {kind: 3 * len(rig.get(path).body) for kind, path in paths.items()}
    for path in paths.values():
        rig.get(path)
        rig.get(path)
    metrics = rig.edge.metrics()
    for kind, size in sizes.items():
        assert metrics[f'sluice_edge_requests_total{{{LABELS},kind="{kind}"}}'] == 3
        assert metrics[f'sluice_edge_bytes_total{{{LABELS},kind="{kind}"}}'] == size
    assert metrics['sluice_edge_cache_total{result="hit"}'] >= 2
    assert metrics['sluice_edge_cache_total{result="miss"}'] >= 5
    assert metrics["sluice_edge_origin_requests_total"] == sum(rig.counts().values())
    assert metrics["sluice_edge_waiting_requests"] == 0


def test_the_number_of_streams_with_series_is_bounded(rig: Rig) -> None:
    for stream in OTHERS:
        rig.dns.records[dns_name(stream)] = [rig.origins[0].host]
        assert rig.edge.get(f"/{stream}/index.m3u8").status == 200
    requests = {
        name: value for name, value in rig.edge.metrics().items() if "requests_total{" in name
    }
    assert sum(requests.values()) == len(OTHERS)
    # The others are counted together, without a name.
    assert 3 <= len(requests) <= 4
    assert 'sluice_edge_requests_total{namespace="",stream="",kind="playlist"}' in requests


def test_the_series_of_a_stream_end_when_nobody_watches_it(rig: Rig) -> None:
    name = f'sluice_edge_requests_total{{{LABELS},kind="playlist"}}'
    for _ in range(6):
        rig.get("index.m3u8")
        time.sleep(1)
    rig.get(f"{SESSION}/video/3.1.m4s")
    time.sleep(2)
    # Another kind keeps all series of the stream.
    assert rig.edge.metrics()[name] == 6
    time.sleep(3)
    assert name not in rig.edge.metrics()


async def test_viewers_are_distinct_clients_of_the_last_ten_seconds(rig: Rig) -> None:
    path = rig.path(f"{SESSION}/video.m3u8")
    await ask_at_once(rig.edge.port, [path] * 150)
    await ask_at_once(rig.edge.port, [path] * 150)
    assert rig.edge.metrics()[VIEWERS] == 150
    time.sleep(12)
    assert VIEWERS not in rig.edge.metrics()


def test_the_page_and_its_information_make_no_viewer(rig: Rig) -> None:
    rig.get("")
    rig.get("info.json")
    assert VIEWERS not in rig.edge.metrics()


def test_the_check_of_a_play_pod_makes_no_viewer(rig: Rig) -> None:
    check = {"User-Agent": USER_AGENT}
    for path in ("index.m3u8", f"{SESSION}/video.m3u8"):
        assert rig.edge.get(rig.path(path), check).status == 200
    metrics = rig.edge.metrics()
    assert metrics[f'sluice_edge_requests_total{{{LABELS},kind="playlist"}}'] == 2
    assert VIEWERS not in metrics
    rig.edge.get(rig.path("index.m3u8"), {"User-Agent": f"{USER_AGENT}/2"})
    assert rig.edge.metrics()[VIEWERS] == 1


def test_names_that_do_not_exist_make_no_series(rig: Rig) -> None:
    for at in range(20):
        rig.edge.get(f"/films/none{at}/index.m3u8")
    metrics = rig.edge.metrics()
    assert not [name for name in metrics if "none" in name]
    assert metrics['sluice_edge_refused_total{status="404"}'] == 20


def test_a_failed_pod_is_counted_by_reason(rig: Rig) -> None:
    rig.origins[0].kill()
    assert rig.get("index.m3u8").status == 503
    metrics = rig.edge.metrics()
    assert metrics['sluice_edge_origin_errors_total{reason="connect"}'] == 1
    assert metrics["sluice_edge_bad_peers"] == 1


def test_every_metric_has_its_help_and_type(rig: Rig) -> None:
    rig.get("index.m3u8")
    rig.edge.metrics()
    page = rig.edge.health("/metrics").text
    names = {line.split("{")[0].split(" ")[0] for line in page.splitlines() if line[0] != "#"}
    for name in names:
        assert f"# HELP {name} " in page
        assert f"# TYPE {name} " in page
