"""kubectl sluice on a real cluster: a recording from start to file, with kubectl's own login."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.conftest import SluiceCommand
from tests.cluster.recordings import has_recorded
from tests.support.cluster import publish_url
from tests.support.frames import decode_errors, runs
from tests.support.kubectl import Kubectl
from tests.support.objects import livestream
from tests.support.publish import Publisher


@pytest.mark.long
def test_a_recording_from_start_to_file_and_what_cannot_be_done_is_said(
    kube: Kubectl, sluice_command: SluiceCommand, clip: Path, tmp_path: Path
) -> None:
    kube.apply(livestream("show", title="The show"))
    what_cannot_be_done_is_said(kube, sluice_command)
    url = publish_url(kube, "show")

    code, out, err = sluice_command("stream", "url", "show")
    assert code == 0, err
    server, _, secret = url.partition("?")
    assert server.rpartition("/")[0] in out
    assert secret not in out + err

    with Publisher(clip, url):
        kube.wait_condition("livestream", "show", "Live")
        code, out, err = sluice_command("record", "start", "show", "--wait", "--timeout", "120")
        assert code == 0, err
        name = out.strip()
        assert name.startswith("show-")
        code, out, err = sluice_command("stream", "ls")
        assert [line.split()[:2] for line in out.splitlines()[1:]] == [["show", "True"]], err
        code, _, err = sluice_command("record", "download", name)
        assert code == 1
        assert "still being recorded" in err or "no file yet" in err
        has_recorded(kube, name, 10)  # with less, minimumSeconds discards it
        code, _, err = sluice_command("record", "stop", name, "--wait", "--timeout", "120")
        assert code == 0, err
        assert "file 1: Ready" in err

    code, out, err = sluice_command("record", "ls", "show")
    assert out.splitlines()[1].split()[:3] == [name, "show", "Completed"], err
    code, out, err = sluice_command("record", "download", name, "-o", "show.mp4")
    assert code == 0, err
    file = tmp_path / "home" / "show.mp4"
    [entry] = kube.status("recording", name)["files"]
    assert file.stat().st_size == entry["sizeBytes"]
    assert decode_errors(file) == ""
    [run] = runs(file, {"A": clip})
    assert len(run) > 200
    code, _, err = sluice_command("record", "download", name, "-o", "show.mp4")
    assert (code, "is there already" in err) == (0, True)


def what_cannot_be_done_is_said(kube: Kubectl, sluice_command: SluiceCommand) -> None:
    """The stream is there and not on air; the plugin reads the words of the real kubectl."""
    code, _, err = sluice_command("record", "start", "nobody")
    assert (code, "There is no LiveStream nobody here" in err) == (1, True), err
    code, out, err = sluice_command("record", "start", "show", "--name", "later")
    assert (code, out) == (0, "later\n"), err
    assert "the recording begins when it goes on air" in err
    code, _, err = sluice_command("record", "start", "show", "--name", "later")
    assert (code, "already exists" in err) == (1, True), err
    code, _, err = sluice_command("stream", "ls", "--as", "nobody-at-all")
    assert (code, "You have no permission for this" in err) == (1, True), err
    spec = json.loads(kube("get", "recording", "later", "-o", "json"))["spec"]
    assert spec["streamRef"] == {"name": "show"}
    kube("delete", "recording", "later", "--timeout=90s")
