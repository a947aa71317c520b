"""Publishers come and go, files are cut, for minutes: what was on air is in the files, once."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.conftest import FaultyS3
from tests.faults.recordings import begin, finish, on_record, recording_began
from tests.support.frames import decode_errors, probe, runs
from tests.support.kubectl import Kubectl
from tests.support.publish import Publisher

pytestmark = pytest.mark.timeout(1_800)


@pytest.mark.parametrize("loss_seconds", [1, 5, 9, 11, 60])
def test_losses_are_gaps_of_one_file_or_begin_the_next(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path, loss_seconds: int
) -> None:
    url = begin(kube, s3, "road")
    with Publisher(clip, url) as first:
        recording_began(kube, "road")
        time.sleep(8)
        first.kill()
    time.sleep(loss_seconds)
    with Publisher(clip, url, start_seconds=60):
        kube.wait_condition("livestream", "road", "Live")
        time.sleep(8)
        files = finish(kube, "road", tmp_path)
    found = [run for file in files for run in runs(file, {"A": clip})]
    assert [decode_errors(file) for file in files] == [""] * len(files)
    assert len(files) == (1 if loss_seconds < 10 else 2)
    assert len(found) == 2
    assert found[0].first == 0


def test_a_publisher_that_flaps_for_three_minutes_is_one_file_of_whole_pieces(
    kube: Kubectl, s3: FaultyS3, clip: Path, tmp_path: Path
) -> None:
    url = begin(kube, s3, "flap")
    pieces = 0
    began = time.monotonic()
    while time.monotonic() < began + 180:
        with Publisher(clip, url, start_seconds=pieces * 2 % 170):
            time.sleep(2)
        pieces += 1
    [file] = finish(kube, "flap", tmp_path)
    assert decode_errors(file) == ""
    found = runs(file, {"A": clip})
    assert all(run.source == "A" for run in found)
    [entry] = kube.status("recording", "flap")["files"]
    assert len(entry["gaps"]) >= len(found) // 2


def test_splits_concatenate_to_exactly_what_was_sent(
    kube: Kubectl, s3: FaultyS3, long_clip: Path, tmp_path: Path
) -> None:
    with on_record(kube, s3, "cut", long_clip, splitSeconds=20):
        time.sleep(600)
        files = finish(kube, "cut", tmp_path)
    assert len(files) >= 28
    assert [decode_errors(file) for file in files] == [""] * len(files)
    pieces = [runs(file, {"A": long_clip}) for file in files]
    assert all(len(piece) == 1 for piece in pieces)
    last = -1
    for [run] in pieces:
        assert run.first == last + 1
        last = run.last


def test_the_duration_in_status_goes_with_the_media_and_its_observed_at(
    kube: Kubectl,
    s3: FaultyS3,
    long_clip: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = begin(kube, s3, "clock")
    source = random.Random(1)
    worst = 0.0
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher(long_clip, url))
        recording_began(kube, "clock")
        first: tuple[float, datetime] | None = None
        ends = time.monotonic() + 600
        while time.monotonic() < ends:
            time.sleep(1)
            if source.random() < 0.04:
                publisher.kill()
                time.sleep(source.uniform(1, 6))
                publisher = stack.enter_context(Publisher(long_clip, url, start_seconds=20))
                kube.wait_condition("livestream", "clock", "Live")
                time.sleep(12)  # until a duration was observed that has begun to grow again
                first = None
            status = kube.status("recording", "clock")
            now = status["recordingDuration"], datetime.fromisoformat(status["observedAt"])
            assert (datetime.now(UTC) - now[1]).total_seconds() < 13
            first = first or now
            grown, passed = now[0] - first[0], (now[1] - first[1]).total_seconds()
            worst = max(worst, abs(grown - passed))
        [file] = finish(kube, "clock", tmp_path)
    [entry] = kube.status("recording", "clock")["files"]
    assert abs(float(probe(file)["format"]["duration"]) - entry["durationSeconds"]) < 2.1
    with capsys.disabled():
        print(f"\nrecordingDuration was off by {worst:.2f} s at most")
    assert worst < 2.5
