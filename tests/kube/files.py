"""Writes files as a whole, and only when their content changes."""

from __future__ import annotations

from pathlib import Path

__all__ = ["replace", "write_if_changed"]


def replace(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Put a file in place by a rename: readers see the old text or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.touch(mode=mode)
    temporary.chmod(mode)
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_if_changed(path: Path, text: str, *, mode: int = 0o644) -> Path:
    """Make a file hold this text; kube-proxy, for one, ends when its configuration is touched.

    Returns:
        The path.
    """
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        replace(path, text, mode=mode)
    return path
