"""Runs kubectl sluice against a kubectl that is none."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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

    def docs(self, page: str) -> str:
        return (ROOT / "docs" / page).read_text("utf-8")

    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.cluster / "calls").read_text().splitlines()]


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
