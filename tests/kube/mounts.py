"""Functions to unmount the mounts of kubelet, containerd and the provisioner below a folder."""

from __future__ import annotations

import re
from pathlib import Path

from tests.kube.commands import run, succeeds

__all__ = ["below", "unmount_below"]


def below(mountinfo: str, folder: Path) -> list[Path]:
    """Return the mount points in ``mountinfo`` at or under a folder, deepest and latest first."""
    found: list[Path] = []
    for line in mountinfo.splitlines():
        # proc(5): the fifth field is the mount point, with white space escaped in octal.
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split()[4]))
        if point.is_relative_to(folder):
            found.append(point)
    found.reverse()
    return sorted(found, key=lambda point: -len(point.parts))


def unmount_below(folder: Path) -> None:
    """Unmount everything at or under a folder. A busy mount is detached, and ends with its last
    user.

    Raises:
        KubeToolError: a mount could not be detached.
    """
    for point in below(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), folder):
        if not succeeds(["umount", point]):
            run(["umount", "--lazy", point])
