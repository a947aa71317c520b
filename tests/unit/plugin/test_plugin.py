"""kubectl sluice: what it asks kubectl for, what it prints, and what it says when it cannot."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "operator" / "plugin" / "kubectl-sluice"
FAKE = Path(__file__).with_name("fake_kubectl.py")
MEDIA = bytes(range(256)) * 4096


class Shell:
    """A user's shell: kubectl on PATH, a working directory, and a cluster behind it."""

    def __init__(self, folder: Path) -> None:
        self.cluster, self.home, tools = (folder / name for name in ("cluster", "home", "bin"))
        for made in (self.cluster, self.home, tools):
            made.mkdir()
        kubectl = tools / "kubectl"
        kubectl.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" "$@"\n')
        kubectl.chmod(0o755)
        self.env = {
            **{k: v for k, v in os.environ.items() if k != "KUBECTL"},
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "FAKE_KUBECTL": str(self.cluster),
        }

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(PLUGIN), *args],
            cwd=self.home,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *args: str, want: int = 0) -> tuple[str, str]:
        """(stdout, stderr) of the command, which must end with ``want``."""
        process = self.start(*args)
        out, err = (text.decode() for text in process.communicate(timeout=60))
        assert process.returncode == want, err
        return out, err

    def put(self, kind: str, name: str, **parts: Any) -> None:
        file = self.cluster / f"{kind}.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        known[name] = {"metadata": {"name": name, "uid": f"uid-{name}", "namespace": "ns"}, **parts}
        fresh = file.with_suffix(".test")
        fresh.write_text(json.dumps(known))
        fresh.replace(file)

    def stream(self, name: str = "show", live: bool = True, **parts: Any) -> None:
        conditions = [{"type": "Live", "status": "True" if live else "False"}]
        self.put(
            "livestreams",
            name,
            **{
                "spec": {"source": {"push": {}}, "title": "The show"},
                "status": {"conditions": conditions},
                **parts,
            },
        )

    def recording(self, name: str = "rec", *files: dict[str, Any], **status: Any) -> None:
        self.put(
            "recordings",
            name,
            spec={"streamRef": {"name": "show"}},
            status={"phase": "Completed", "files": list(files), "storeName": "tapes", **status},
        )

    def recordings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.cluster / "recordings.json").read_text())
        return found

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.cluster / "calls").read_text().splitlines()]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def a_file(index: int = 1, state: str = "Ready", media: bytes = MEDIA, **more: Any) -> Any:
    return {
        "index": index,
        "name": f"0a1b-{index:03}.mp4",
        "state": state,
        "sizeBytes": len(media),
        "sha256": hashlib.sha256(media).hexdigest(),
        "durationSeconds": 61.5,
    } | more


SUCCEEDED = [{"type": "Succeeded", "status": "True", "reason": "Stopped"}]


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
    assert "not on air; the recording begins when it is" in err


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


# --------------------------------------------------------------------------- download


def test_a_file_is_fetched_out_of_the_stores_pod(shell: Shell) -> None:
    shell.recording("rec", a_file())
    (shell.cluster / "cat").write_bytes(MEDIA)
    out, err = shell.run("record", "download", "rec", "-n", "ns", "--context", "far")
    assert out == "rec.mp4\n"
    assert (shell.home / "rec.mp4").read_bytes() == MEDIA
    assert "1.0 MB (100 %)" in err
    assert shell.calls()[-1] == [
        *("--context=far", "--namespace=ns", "exec", "deploy/tapes-store", "-c", "store", "--"),
        *("python3", "-m", "sluice_media", "store", "cat", "uid-rec", "0a1b-001.mp4"),
    ]


def test_several_files_go_into_a_folder_and_what_is_there_is_not_fetched_again(
    shell: Shell,
) -> None:
    shell.recording("rec", a_file(1), a_file(2), a_file(3, state="Finalizing"))
    (shell.cluster / "cat").write_bytes(MEDIA)
    out, err = shell.run("record", "download", "rec", "-o", "tapes/")
    assert out.split() == ["tapes/rec-001.mp4", "tapes/rec-002.mp4"]
    assert "File 3 of Recording rec is still being made" in err
    before = len(shell.calls())
    _, err = shell.run("record", "download", "rec", "-o", "tapes")
    assert "tapes/rec-002.mp4 is there already" in err
    assert len(shell.calls()) == before + 1


def test_one_file_of_several_gets_the_name_that_is_asked_for(shell: Shell) -> None:
    shell.recording("rec", a_file(1), a_file(2))
    (shell.cluster / "cat").write_bytes(MEDIA)
    assert shell.run("record", "download", "rec", "--file", "2", "-o", "b.mp4")[0] == "b.mp4\n"
    assert shell.calls()[-1][-1] == "0a1b-002.mp4"
    _, err = shell.run("record", "download", "rec", "--file", "3", want=1)
    assert "has no file 3" in err


def a_line(index: int, state: str = "Ready") -> str:
    digest = hashlib.sha256(MEDIA).hexdigest() if state == "Ready" else "-"
    size = str(len(MEDIA)) if state == "Ready" else "-"
    name = f"0a1b-{index:03}.mp4"
    return f"uid-rec\t{name}\t{state}\t{size}\t61.500\t2026-05-03T08:15:00+00:00\t{digest}\n"


def test_the_files_before_the_last_200_are_asked_of_the_store(shell: Shell) -> None:
    """A Recording's status lists its last 200 files, and says how many there are."""
    shell.recording("rec", a_file(3), a_file(4, state="Recording"), fileCount=4)
    (shell.cluster / "ls").write_text("".join(map(a_line, (1, 2, 3))) + a_line(4, "Recording"))
    (shell.cluster / "cat").write_bytes(MEDIA)
    out, err = shell.run("record", "download", "rec")
    assert out.split() == ["rec-001.mp4", "rec-002.mp4", "rec-003.mp4"]
    assert "File 4 of Recording rec is still being recorded" in err
    lists = [call for call in shell.calls() if "ls" in call]
    assert lists == [
        [
            *("exec", "deploy/tapes-store", "-c", "store", "--"),
            *("python3", "-m", "sluice_media", "store", "ls", "uid-rec"),
        ]
    ]
    assert shell.run("record", "download", "rec", "--file", "2", "-o", "b.mp4")[0] == "b.mp4\n"
    assert shell.calls()[-1][-1] == "0a1b-002.mp4"


def test_a_list_of_the_store_that_cannot_be_read_is_said_so(shell: Shell) -> None:
    shell.recording("rec", a_file(3), fileCount=3)
    (shell.cluster / "ls").write_text("nonsense\n")
    _, err = shell.run("record", "download", "rec", want=1)
    assert "The store lists its files in a way that is not understood: 'nonsense'" in err


def test_a_file_can_go_to_stdout(shell: Shell) -> None:
    shell.recording("rec", a_file())
    (shell.cluster / "cat").write_bytes(MEDIA)
    process = shell.start("record", "download", "rec", "-o", "-")
    assert process.communicate(timeout=60)[0] == MEDIA


@pytest.mark.parametrize(
    ("came", "said", "words"),
    [
        (MEDIA[:-1], None, "Only 1048575 of 1048576 bytes of file 1 came"),
        (b"x" + MEDIA[1:], None, "damaged"),
        (MEDIA[:99], "error: unexpected EOF", "unexpected EOF"),
        (b"", 'Error from server (Forbidden): pods "x" is forbidden', "no permission"),
    ],
)
def test_what_did_not_come_whole_leaves_nothing_behind(
    shell: Shell, came: bytes, said: str | None, words: str
) -> None:
    shell.recording("rec", a_file())
    (shell.cluster / "cat").write_bytes(came)
    if said is not None:
        (shell.cluster / "cat-error").write_text(said)
    _, err = shell.run("record", "download", "rec", want=1)
    assert words in err
    assert list(shell.home.iterdir()) == []


def test_an_interrupted_download_leaves_nothing_behind(shell: Shell) -> None:
    shell.recording("rec", a_file())
    (shell.cluster / "cat").write_bytes(MEDIA[:1000])
    (shell.cluster / "hang").touch()
    process = shell.start("record", "download", "rec")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not list(shell.home.iterdir()):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == b"interrupted\n"
    assert list(shell.home.iterdir()) == []


def test_another_file_is_not_overwritten_unless_asked_to(shell: Shell) -> None:
    shell.recording("rec", a_file())
    (shell.cluster / "cat").write_bytes(MEDIA)
    place = shell.home / "rec.mp4"
    place.write_text("mine")
    _, err = shell.run("record", "download", "rec", want=1)
    assert "exists and is another file" in err
    assert place.read_text() == "mine"
    shell.run("record", "download", "rec", "--force")
    assert place.read_bytes() == MEDIA


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (a_file(state="Recording"), "`kubectl sluice record stop rec` ends it"),
        (a_file(state="Finalizing"), "still being made; try again"),
        (a_file(state="Expired"), "cannot be fetched: it is Expired"),
        (a_file(state="Failed", message="Disk full."), "it is Failed: Disk full."),
        (a_file(name="../../etc/passwd"), "has a name that cannot be asked for"),
        (a_file(name="--help"), "has a name that cannot be asked for"),
    ],
)
def test_what_cannot_be_fetched_is_said_so(shell: Shell, file: Any, words: str) -> None:
    shell.recording("rec", file)
    _, err = shell.run("record", "download", "rec", want=1)
    assert words in err
    assert "exec" not in [call[0] for call in shell.calls()]


def test_a_recording_without_a_file_is_said_so(shell: Shell) -> None:
    shell.recording("rec", phase="Pending")
    _, err = shell.run("record", "download", "rec", want=1)
    assert "has no file yet (phase Pending)" in err
    _, err = shell.run("record", "download", "none", want=1)
    assert "There is no Recording none here" in err


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
    assert "nobody publishes to it" in err


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
