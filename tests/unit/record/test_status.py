"""A recorder's status of its files stays small, however many there are."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from sluice_media.contract import RecorderPhase, RecorderStatus
from sluice_media.record.machine import RecorderMachine
from sluice_media.record.plan import PlannedFile
from sluice_media.record.status import recorder_status
from sluice_media.recording.journal import GapEntry

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
STATUS_BYTES = 256 * 1024
UID = "01234567-89ab-cdef-0123-456789abcdef"


def make_file(index: int, gaps: int) -> PlannedFile:
    return PlannedFile(
        index=index,
        timeline=f"t{index}",
        first_dts=0,
        started_at=START,
        session_started_at=START,
        tracks=[],
        gaps=[GapEntry(dts=n, at_seconds=n + 0.125, wall_seconds=1.234) for n in range(gaps)],
        ended_at=START,
        end_reason="ParametersChanged",
    )


def status_of(files: list[PlannedFile]) -> RecorderStatus:
    machine = SimpleNamespace(
        current=None,
        finished=None,
        started_at=START,
        duration_seconds=1.0,
        transitions=1,
        files=files,
    )
    words = recorder_status(
        cast(RecorderMachine, machine),
        RecorderPhase.RECORDING,
        UID,
        lambda file: f"s3://a-bucket/a/long/prefix/recordings/{UID}/{file.index:03d}.m3u8",
    )
    base = RecorderStatus(pod_uid="p", version=1, observed_at=START)
    return base.model_copy(update=words)


def test_a_long_recording_with_many_gaps_fits_into_a_status() -> None:
    """300 files with 500 gaps each came to 8 MiB, and the operator reads 256 KiB."""
    status = status_of([make_file(index, gaps=500) for index in range(1, 301)])
    assert len(status.to_json()) < STATUS_BYTES
    assert status.files[-1].index == 300
    assert [len(f.gaps) for f in status.files] == [100] * len(status.files)
    assert status.older_files == 300 - len(status.files)
    assert len(status.files) > 20


def test_two_hundred_short_files_are_listed_as_far_as_they_fit() -> None:
    status = status_of([make_file(index, gaps=0) for index in range(1, 1001)])
    assert len(status.to_json()) < STATUS_BYTES
    assert len(status.files) > 200
    assert status.files[0].index == status.older_files + 1


def test_of_few_files_none_is_left_out() -> None:
    status = status_of([make_file(index, gaps=2) for index in range(1, 4)])
    assert ([f.index for f in status.files], status.older_files) == ([1, 2, 3], 0)
