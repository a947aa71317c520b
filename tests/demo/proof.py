"""What the demo proves of a fetched file, with the FFmpeg of the media image.

The machine needs none of its own. The file goes to a pod by ``kubectl exec`` and is decoded there;
what comes back is text.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.demo.console import DemoError
from tests.support.kubectl import Kubectl

__all__ = ["decode_errors", "probe"]

_SECONDS = 300
_READ_ON = '"$@"; code=$?; cat > /dev/null; exit $code'
"""kubectl waits until somebody has read all of the file, and ffprobe ends after its index."""


def decode_errors(kube: Kubectl, pod: str, file: Path) -> str:
    """What a full decode complains about; empty when nothing."""
    return _exec(kube, pod, file, "ffmpeg", "-v", "error", "-i", "pipe:0", "-f", "null", "-")[1]


def probe(kube: Kubectl, pod: str, file: Path) -> dict[str, Any]:
    """ffprobe's format and streams."""
    flags = ("-v", "error", "-show_format", "-show_streams", "-of", "json")
    found: dict[str, Any] = json.loads(_exec(kube, pod, file, "ffprobe", *flags, "pipe:0")[0])
    return found


def _exec(kube: Kubectl, pod: str, file: Path, *command: str) -> tuple[str, str]:
    """(output, errors) of a program in the pod that reads the file. Raises DemoError."""
    words = [kube.binary, f"--kubeconfig={kube.kubeconfig}", f"--namespace={kube.namespace}"]
    with file.open("rb") as source:
        done = subprocess.run(
            [*words, "exec", "-i", pod, "--", "sh", "-c", _READ_ON, "sh", *command],
            stdin=source,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    if done.returncode:
        raise DemoError(f"{file.name} cannot be read by {command[0]}: {done.stderr.strip()}")
    return done.stdout, done.stderr.strip()
