"""kubectl sluice: what it asks kubectl for, what it prints, and what it says when it cannot."""

from __future__ import annotations

import re
import time

import pytest

from tests.integration.plugin.shell import SUCCEEDED, Shell, a_file

# --------------------------------------------------------------------------- start


def test_a_recording_is_started_under_a_name_of_stream_and_time(shell: Shell) -> None:
    shell.stream("s" * 40)
    out, _ = shell.run("record", "start", "s" * 40)
    name = out.strip()
    assert re.fullmatch(r"s{40}-\d{8}-\d{6}", name)
    assert len(name) <= 56, "what a Recording may be called"
    made = shell.recordings()[name]
    assert made["apiVersion"] == "sluice.video/v1alpha1"
    assert made["spec"] == {"streamRef": {"name": "s" * 40}}


def test_everything_that_can_be_said_of_a_recording_is_handed_on(shell: Shell) -> None:
    shell.stream()
    given = ["--name", "rec", "--split-seconds", "600", "--max-duration-seconds", "3600"]
    shell.run("record", "start", "show", *given, "--store", "tapes")
    assert shell.recordings()["rec"]["spec"] == {
        "streamRef": {"name": "show"},
        "splitSeconds": 600,
        "maxDurationSeconds": 3600,
        "storeRef": {"name": "tapes"},
    }


def test_a_stream_that_is_off_air_is_recorded_once_it_is_on(shell: Shell) -> None:
    shell.stream(live=False)
    out, err = shell.run("record", "start", "show", "--name", "rec")
    assert out == "rec\n"
    assert "not on air; the recording begins when it goes on air" in err


def test_an_unknown_stream_is_said_so_and_nothing_is_made(shell: Shell) -> None:
    _, err = shell.run("record", "start", "nobody", want=1)
    assert "There is no LiveStream nobody here" in err
    assert not (shell.cluster / "recordings.json").exists()


def test_a_name_that_is_taken_is_said_so(shell: Shell) -> None:
    shell.stream()
    shell.run("record", "start", "show", "--name", "rec")
    _, err = shell.run("record", "start", "show", "--name", "rec", want=1)
    assert "already exists" in err


def test_waiting_ends_when_it_records(shell: Shell) -> None:
    shell.stream()
    shell.recording("other")
    process = shell.start("record", "start", "show", "--name", "rec", "--wait", "--timeout", "20")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and "rec" not in shell.recordings():
        time.sleep(0.05)
    shell.recording("rec", recording=True)
    assert process.communicate(timeout=30)[0] == b"rec\n"
    assert process.returncode == 0


def test_waiting_for_what_is_stuck_ends_with_its_reason(shell: Shell) -> None:
    stalled = [{"type": "Stalled", "status": "True", "message": "There is no MediaStore x."}]
    shell.recording("rec", conditions=stalled, phase="Pending")
    _, err = shell.run("record", "stop", "rec", "--wait", want=1)
    assert "Recording rec is stuck: There is no MediaStore x." in err


def test_waiting_has_an_end(shell: Shell) -> None:
    shell.recording("rec", phase="Finalizing")
    _, err = shell.run("record", "stop", "rec", "--wait", "--timeout", "1", want=1)
    assert "still Finalizing after 1 s" in err


# --------------------------------------------------------------------------- stop, ls


def test_a_recording_is_stopped(shell: Shell) -> None:
    shell.recording("rec", phase="Recording")
    assert shell.run("record", "stop", "rec")[0] == "rec\n"
    assert shell.recordings()["rec"]["spec"]["desiredState"] == "Stopped"


def test_what_has_ended_is_not_stopped_again(shell: Shell) -> None:
    shell.recording("rec", a_file(), conditions=SUCCEEDED)
    _, err = shell.run("record", "stop", "rec", "--wait")
    assert "has ended already (Completed)" in err
    assert "file 1: Ready, 0:01:01, 1.0 MB" in err
    assert "patch" not in [call[0] for call in shell.calls()]


def test_a_recording_that_failed_fails_the_wait(shell: Shell) -> None:
    failed = [{"type": "Succeeded", "status": "False", "message": "No space left."}]
    shell.recording("rec", conditions=failed)
    _, err = shell.run("record", "stop", "rec", "--wait", want=1)
    assert "Recording rec failed: No space left." in err


def test_recordings_are_listed_and_those_of_one_stream_alone(shell: Shell) -> None:
    shell.recording("rec", a_file(), recordingDuration=3723.4, sizeBytes=1_500_000, fileCount=1)
    out, _ = shell.run("record", "ls", "show")
    head, row = out.splitlines()
    assert head.split() == ["NAME", "STREAM", "PHASE", "DURATION", "SIZE", "FILES", "STARTED"]
    assert row.split() == ["rec", "show", "Completed", "1:02:03", "1.5", "MB", "1"]
    assert "spec.streamRef.name=show" in shell.calls()[-1]
    out, err = shell.run("record", "ls", "other")
    assert (out, err) == ("", "There is nothing here.\n")
    out, _ = shell.run("record", "ls", "-A")
    assert out.splitlines()[1].split()[0] == "ns"


# --------------------------------------------------------------------------- stream


def test_streams_are_listed_without_control_characters_of_their_titles(shell: Shell) -> None:
    status = {
        "conditions": [{"type": "Live", "status": "True"}],
        "activeSource": "Backup",
        "recordingName": "rec",
        "restreams": {"total": 3, "live": 2},
    }
    shell.stream(status=status, spec={"title": "The\x1b[2Jshow", "source": {"push": {}}})
    out, _ = shell.run("-n", "ns", "stream", "ls")
    assert out.splitlines()[1].split() == ["show", "True", "Backup", "rec", "2/3", "The", "[2Jshow"]
    assert shell.calls()[-1][0] == "--namespace=ns", "a flag may stand before the command"


def test_addresses_are_shown_and_the_key_is_not_even_read(shell: Shell) -> None:
    ingest = {
        "secretName": "show-ingest",
        "rtmp": "rtmp://live.example:1935/ns",
        "srt": "srt://live.example:9710",
    }
    shell.stream(status={"ingest": ingest})
    out, err = shell.run("stream", "url", "show")
    assert out.splitlines() == [
        "rtmp  rtmp://live.example:1935/ns",
        "srt   srt://live.example:9710",
    ]
    assert "kubectl get secret show-ingest" in err
    assert not any("secret" in word for call in shell.calls() for word in call)


def test_a_stream_without_addresses_says_why(shell: Shell) -> None:
    pending = [{"type": "Ready", "status": "True", "message": "The gateway has no address yet."}]
    shell.stream(status={"ingest": {"secretName": "show-ingest"}, "conditions": pending})
    _, err = shell.run("stream", "url", "show", want=1)
    assert "has no address yet: The gateway has no address yet." in err
    shell.stream("pulled", spec={"source": {"pull": {}}})
    _, err = shell.run("stream", "url", "pulled", want=1)
    assert "it has no address to publish to" in err


# --------------------------------------------------------------------------- kubectl's troubles


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            'Error from server (Forbidden): livestreams.sluice.video "show" is forbidden: User',
            "You have no permission for this",
        ),
        (
            'error: the server doesn\'t have a resource type "livestreams"',
            "Sluice is not installed in this cluster",
        ),
        ("Unable to connect to the server: dial tcp: lookup x", "Unable to connect"),
    ],
)
def test_what_kubectl_says_is_told_with_what_to_do(shell: Shell, said: str, words: str) -> None:
    (shell.cluster / "refusal").write_text(said)
    _, err = shell.run("stream", "ls", want=1)
    assert words in err
    assert said in err, "kubectl's own words are not hidden"


def test_without_kubectl_it_says_so(shell: Shell) -> None:
    shell.env["KUBECTL"] = "no-such-kubectl"
    _, err = shell.run("stream", "ls", want=1)
    assert "no-such-kubectl cannot be run" in err


@pytest.mark.parametrize(
    "args",
    [
        ("record",),
        ("record", "start"),
        ("record", "start", "-x"),
        ("record", "stop", "--all"),
        ("record", "stop", "a/b"),
        ("record", "download", "rec", "--file", "0"),
        ("record", "start", "show", "--split-seconds", "1.5"),
    ],
)
def test_wrong_usage_asks_nothing_of_the_cluster(shell: Shell, args: tuple[str, ...]) -> None:
    _, err = shell.run(*args, want=2)
    assert "usage: kubectl sluice" in err
    assert not (shell.cluster / "calls").exists()
