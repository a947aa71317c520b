"""The cgroup of each node. It is made before kubelet starts, and emptied and removed after kubelet
ended.

Works on cgroup v1 (one hierarchy per controller) and on the unified v2 hierarchy.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kube.processes import kill_pids

__all__ = ["create", "is_v1", "kill_all", "remove"]

ROOT = Path("/sys/fs/cgroup")
V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids")


def is_v1(root: Path = ROOT) -> bool:
    """Return whether the machine mounts the v1 hierarchy, which kubelet accepts only with a
    setting."""
    return not (root / "cgroup.controllers").exists()


def _hierarchies(root: Path) -> list[Path]:
    if not is_v1(root):
        return [root]
    # cpu and cpuacct may be links to one combined folder: take each folder once.
    real = {path.resolve() for path in root.iterdir() if path.is_dir()}
    return sorted(path for path in real if (path / "cgroup.procs").exists())


def create(name: str, root: Path = ROOT) -> None:
    """Make the cgroup in every hierarchy."""
    if not is_v1(root):
        for controller in V2_CONTROLLERS:
            with contextlib.suppress(OSError):
                (root / "cgroup.subtree_control").write_text(f"+{controller}", encoding="ascii")
    for hierarchy in _hierarchies(root):
        folder = hierarchy / name
        folder.mkdir(exist_ok=True)
        # A v1 cpuset starts empty and refuses processes until it has CPUs and memory nodes.
        for key in ("cpuset.cpus", "cpuset.mems"):
            if is_v1(root) and (folder / key).exists():
                value = (hierarchy / key).read_text(encoding="ascii")
                (folder / key).write_text(value, encoding="ascii")


def _folders(name: str, root: Path) -> Iterator[Path]:
    """Yield the cgroup's folders, children before parents."""
    for hierarchy in _hierarchies(root):
        for folder, _children, _files in os.walk(hierarchy / name, topdown=False):
            yield Path(folder)


def _pids(name: str, root: Path) -> set[int]:
    found: set[int] = set()
    for folder in _folders(name, root):
        with contextlib.suppress(OSError):
            text = (folder / "cgroup.procs").read_text(encoding="ascii")
            found.update(int(word) for word in text.split())
    return found


def kill_all(name: str, root: Path = ROOT, *, seconds: float = 10.0) -> bool:
    """Kill the processes in the cgroup until none is left; return False if some remain."""
    deadline = time.monotonic() + seconds
    while pids := _pids(name, root):
        kill_pids(pids, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def remove(name: str, root: Path = ROOT) -> None:
    """Remove the empty cgroup. The kernel releases it a moment after the last process ended."""
    for folder in list(_folders(name, root)):
        for _attempt in range(40):
            try:
                folder.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.05)
            else:
                break
