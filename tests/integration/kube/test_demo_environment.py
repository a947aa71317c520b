"""The demo on a cluster of the user's own: which of the installed programs it can use."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.console import DemoError
from tests.demo.environment import existing


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, with kubectl in it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    put(tmp_path, "kubectl", "")
    return tmp_path


def put(folder: Path, name: str, answer: str) -> str:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    return str(program)


def test_helm_4_is_used(path: Path) -> None:
    helm = put(path, "helm", "v4.1.0")
    assert existing(push=False).helm == helm


@pytest.mark.parametrize("installed", ["v3.19.2", None])
def test_an_older_helm_is_refused_before_it_fails_on_an_option(
    path: Path, installed: str | None
) -> None:
    if installed is not None:
        put(path, "helm", installed)
    with pytest.raises(DemoError, match="put Helm 4 on the PATH"):
        existing(push=False)


def test_what_is_not_there_is_named(path: Path) -> None:
    (path / "kubectl").unlink()
    with pytest.raises(DemoError, match="put kubectl and Helm 4 on the PATH"):
        existing(push=False)
