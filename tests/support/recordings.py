"""Download of a Recording's files, as in the documentation."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.kubectl import Kubectl

__all__ = ["download"]


def download(kubectl: Kubectl, recording: str, folder: Path) -> list[Path]:
    """Fetch all files of the Recording, in order, from the store's pod."""
    status = kubectl.status("recording", recording)
    uid = kubectl.get("recording", recording)["metadata"]["uid"]
    store = status.get("storeName", "default")
    found = []
    for file in status.get("files", []):
        target = folder / file["name"]
        command = [kubectl.binary, f"--kubeconfig={kubectl.kubeconfig}", "-n", kubectl.namespace]
        command += ["exec", f"deploy/{store}-store", "--"]
        command += ["python", "-m", "sluice_media", "store", "cat", uid, file["name"]]
        with target.open("wb") as out:
            subprocess.run(command, stdout=out, check=True, timeout=120)
        found.append(target)
    return found
