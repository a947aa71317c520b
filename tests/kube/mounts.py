"""Unmounts what kubelet, containerd and the provisioner mounted below one folder."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kube.commands import run, succeeds

__all__ = ["below", "unmount_below"]


def below(mountinfo: str, folder: Path) -> list[Path]:
    """Mount points in ``/proc/self/mountinfo`` at or under a folder, deepest and latest first."""
    found: list[Path] = []
    for line in mountinfo.splitlines():
        # proc(5): the fifth field is the mount point, with blanks and the like in octal.
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4]))
        if point.is_relative_to(folder):
            found.append(point)
    found.reverse()
    return sorted(found, key=lambda point: -len(point.parts))


def unmount_below(folder: Path) -> None:
    """Unmount everything at or under a folder. What is busy is detached and ends with its user.

    Raises:
        KubeToolError: even detaching failed.
    """
    for point in below(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), folder):
        if not succeeds(["umount", point]):
            run(["umount", "--lazy", point])
