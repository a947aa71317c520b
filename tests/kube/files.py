"""Functions that write whole files, and only when their content changes."""

from __future__ import annotations

from pathlib import Path

__all__ = ["replace", "write_if_changed"]


def replace(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file by a rename, so that readers see the old text or the new text and never a
    part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.touch(mode=mode)
    temporary.chmod(mode)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_if_changed(path: Path, text: str, *, mode: int = 0o644) -> Path:
    """Write a file unless it has this text. For example, kube-proxy ends when its configuration
    changes.

    Returns:
        The path.
    """
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        replace(path, text, mode=mode)
    return path
