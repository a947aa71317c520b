"""``files[]``: the recorder reports them first, and the store takes precedence."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import Gap
from sluice_operator.domain.recording.files import (
    file_count,
    merged_files,
    total_bytes,
    total_seconds,
)
from tests.unit.domain.cases import recorded_file


def states(files: list[dict[str, Any]]) -> dict[int, str]:
    return {file["index"]: file["state"] for file in files}


def test_the_store_knows_better_than_the_recorder() -> None:
    files = merged_files(
        [],
        [recorded_file(1, "Finalizing"), recorded_file(2, "Recording")],
        [recorded_file(1, "Ready", 60, size_bytes=7)],
    )
    assert states(files) == {1: "Ready", 2: "Recording"}


def test_a_recorder_that_repeats_itself_does_not_unfinish_a_file() -> None:
    ready = merged_files([], [], [recorded_file(1, "Ready", 60, size_bytes=7)])
    again = merged_files(ready, [recorded_file(1, "Finalizing", 60)], [])
    assert again == ready


def test_an_unknown_state_of_a_newer_store_is_listed_but_does_not_unfinish_a_file() -> None:
    finalizing = merged_files([], [recorded_file(1, "Finalizing", 60)], [])
    (file,) = merged_files(finalizing, [], [recorded_file(1, "Archived", 60)])
    assert file["state"] == "Archived"
    ready = merged_files([], [], [recorded_file(1, "Ready", 60, size_bytes=7)])
    assert merged_files(ready, [], [recorded_file(1, "Archived", 60)]) == ready


def test_a_file_that_failed_may_be_ready_after_all() -> None:
    failed = merged_files([], [], [recorded_file(1, "Failed", message="disk full")])
    (file,) = merged_files(failed, [], [recorded_file(1, "Ready", 60)])
    assert file["state"] == "Ready"
    assert "message" not in file


def test_a_hundred_gaps_are_enough() -> None:
    gaps = [Gap(at_seconds=n, wall_seconds=1) for n in range(150)]
    (file,) = merged_files([], [recorded_file(gaps=gaps)], [])
    assert len(file["gaps"]) == 100


def test_the_last_two_hundred_files_are_listed_and_all_are_counted() -> None:
    files = merged_files([], [recorded_file(n, "Ready") for n in range(1, 251)], [])
    assert (len(files), files[0]["index"]) == (200, 51)
    assert file_count(files) == 250


def test_sums_leave_out_what_is_not_there() -> None:
    files = merged_files(
        [],
        [recorded_file(2, "Discarded", 3), recorded_file(3, "Recording", 4.5, size_bytes=9)],
        [recorded_file(1, "Ready", 60, size_bytes=7)],
    )
    assert total_seconds(files) == 64.5
    assert total_bytes(files) == 7
