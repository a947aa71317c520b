"""The cluster tool as a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kube.cli import main


def test_without_a_cluster_the_error_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_STATE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    assert main(["env"]) == 1
    assert "run: python3 -m tests.kube up" in capsys.readouterr().err
