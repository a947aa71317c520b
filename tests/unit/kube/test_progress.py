"""What is being waited for: a bar, the time left, and work that goes on side by side."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.kube.console import Board, bar, time_left
from tests.kube.errors import KubeToolError
from tests.kube.go_build import Program, Workload, workload
from tests.kube.side_by_side import side_by_side


@pytest.mark.parametrize(
    ("share", "want"),
    [
        (0.0, "[....................]   0 %"),
        (0.43, "[#########...........]  43 %"),
        (1.0, "[####################] 100 %"),
        (1.2, "[####################] 100 %"),
    ],
)
def test_a_bar_shows_the_share_that_is_done(share: float, want: str) -> None:
    assert bar(share) == want


@pytest.mark.parametrize(
    ("share", "seconds", "want"),
    [
        (0.0, 60, ""),
        (0.5, 3, ""),
        (0.25, 120, "about 6 min left"),
        (0.9, 120, "less than a minute left"),
    ],
)
def test_the_time_left_follows_from_the_rate(share: float, seconds: float, want: str) -> None:
    assert time_left(share, seconds) == want


def test_one_line_of_a_terminal_has_all_that_goes_on_and_lines_stand_above_it() -> None:
    board = Board(io.StringIO(), terminal=True)
    assert isinstance(board.stream, io.StringIO)
    board.put("programs", "43 %")
    board.put("images", "1 of 2")
    board.refresh()
    assert board.stream.getvalue() == "programs: 43 %; images: 1 of 2"
    board.say("a line")
    assert board.stream.getvalue().endswith("\r\x1b[Ka line\nprograms: 43 %; images: 1 of 2")
    board.drop("programs")
    board.refresh()
    assert board.stream.getvalue().endswith("\r\x1b[Kimages: 1 of 2")


def test_a_log_gets_whole_lines() -> None:
    board = Board(io.StringIO(), terminal=False)
    assert isinstance(board.stream, io.StringIO)
    board.refresh()
    board.put("images", "1 of 2")
    board.say("a line")
    board.refresh()
    assert board.stream.getvalue() == "a line\nimages: 1 of 2\n"


def test_work_goes_on_side_by_side() -> None:
    """Each waits for the other one: one after the other would never end."""
    meeting = threading.Barrier(2)
    side_by_side({name: lambda _: meeting.wait(timeout=30) for name in ("images", "programs")})
    assert not meeting.broken


def test_when_one_fails_the_other_is_told_to_stop_and_the_cause_is_said() -> None:
    ended = []

    def fails(_: threading.Event) -> None:
        raise KubeToolError("the registry is away")

    def waits(stop: threading.Event) -> None:
        ended.append(stop.wait(30))
        raise KubeToolError("it was stopped")

    with pytest.raises(KubeToolError, match="the registry is away"):
        side_by_side({"images": fails, "programs": waits})
    assert ended == [True]


@pytest.mark.parametrize(
    ("package", "want"),
    [
        ("k8s.io/kubernetes/cmd/kubelet", "kubelet"),
        ("go.etcd.io/etcd/server/v3", "server"),
        ("./coredns", "coredns"),
        ("sigs.k8s.io/kind", "kind"),
    ],
)
def test_go_names_a_program_after_its_path(package: str, want: str) -> None:
    assert Program("x", package).go_name == want


def listed(folder: Path, name: str, size: int, *imports: str, **more: Any) -> dict[str, Any]:
    (folder / f"{name}.go").write_bytes(b"x" * size)
    found = {"ImportPath": name, "Dir": str(folder), "GoFiles": [f"{name}.go"], "Name": name}
    return found | {"Imports": list(imports)} | more


def test_progress_is_counted_in_source_and_what_is_cached_counts_with_what_needs_it(
    tmp_path: Path,
) -> None:
    todo = workload(
        [
            listed(tmp_path, "base", 1_000_000),
            listed(tmp_path, "cached", 2_000_000, "base", "C"),
            listed(tmp_path, "other", 3_000_000),
            listed(tmp_path, "big", 1_000_000, "cached"),
            listed(tmp_path, "program", 0, "big", "other", Name="main"),
        ]
    )
    assert todo.share == 0
    todo.begins("other")
    assert todo.share == pytest.approx(3 / 8)
    todo.begins("big")
    assert todo.share == pytest.approx(7 / 8), "go build never names what it finds in its cache"
    todo.begins("program")
    todo.begins("program")
    assert todo.share == 1
    assert Workload({}, {}).share == 0
