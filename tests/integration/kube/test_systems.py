"""The packages that `make demo` asks for."""

from __future__ import annotations

import subprocess

from tests.kube.paths import REPOSITORY


def test_make_demo_asks_for_no_test_package() -> None:
    assert [line for line in recipe("demo") if "packages" in line] == [
        "python3 -m tests.kube packages --provider kind"
    ]
    tests = recipe("test-packages")
    assert tests == ["python3 -m tests.kube packages --tests --provider kind"]


def recipe(target: str) -> list[str]:
    """What `make` would run for a target."""
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target, "CLUSTER=kind"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
