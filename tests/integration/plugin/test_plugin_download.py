"""kubectl sluice recording download: files come whole, or nothing is left behind."""

from __future__ import annotations

import hashlib
import signal
import time
from typing import Any

import pytest

from tests.integration.plugin.shell import MEDIA, Shell, a_file


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
    assert "The store lists its files in an unknown format: 'nonsense'" in err


def test_a_file_can_go_to_stdout(shell: Shell) -> None:
    shell.recording("rec", a_file())
    (shell.cluster / "cat").write_bytes(MEDIA)
    process = shell.start("record", "download", "rec", "-o", "-")
    assert process.communicate(timeout=60)[0] == MEDIA


@pytest.mark.parametrize(
    ("came", "said", "words"),
    [
        (MEDIA[:-1], None, "Only 1048575 of 1048576 bytes of file 1 arrived"),
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
        (a_file(name="../../etc/passwd"), "has a name that is not allowed"),
        (a_file(name="--help"), "has a name that is not allowed"),
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
