"""The built player page. It is built once for each version of its sources, in the cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.kube.locking import exclusive
from tests.kube.paths import REPOSITORY, Paths

__all__ = ["SOURCES", "built_page"]

SOURCES = REPOSITORY / "images" / "edge" / "player"
_OUTPUT = {"node_modules", "dist"}


@cache
def built_page() -> Path:
    """Return the folder with ``index.html`` and its modules, built by the steps of the image."""
    files = sorted(
        path
        for path in SOURCES.rglob("*")
        if path.is_file() and not _OUTPUT & set(path.relative_to(SOURCES).parts)
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(SOURCES)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    folder = Paths.from_environment().cache / "player" / digest.hexdigest()[:12]
    with exclusive(folder.parent / ".lock", "building the player page"):
        if not (folder / "dist").exists():
            _build(folder, files)
    return folder / "dist"


def _build(folder: Path, files: list[Path]) -> None:
    fresh = folder.with_name(f"fresh-{folder.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    for path in files:
        target = fresh / path.relative_to(SOURCES)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    for command in (["npm", "ci", "--ignore-scripts", "--no-audit"], ["npm", "run", "build"]):
        done = subprocess.run(command, cwd=fresh, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    fresh.replace(folder)
