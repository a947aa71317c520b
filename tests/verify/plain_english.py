"""Find docstrings that break the measurable rules of plain English.

A docstring must not begin with a question word or a preposition: "What the hub says" makes its
reader guess the subject. It begins with an imperative verb (a function) or a noun (anything else).
Attribute docstrings (a string below an assignment) count as docstrings.

Usage: ``python -m tests.verify.plain_english FOLDER…``; exits with 1 when there are findings.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Finding", "find_in", "main"]

Finding = tuple[int, str]
"""Line number and first words of a docstring."""

_FORBIDDEN_START = re.compile(r"(who|whose|whom|what|whether|of|between)\b", re.IGNORECASE)
_SHOWN_CHARS = 60


def find_in(source: str) -> Iterator[Finding]:
    """Yield the docstrings in ``source`` that begin with a forbidden word, in source order."""
    for line, text in _docstrings(ast.parse(source)):
        if _FORBIDDEN_START.match(text):
            yield line, text.splitlines()[0][:_SHOWN_CHARS]


def _docstrings(tree: ast.Module) -> Iterator[Finding]:
    """Yield every string that stands as a statement, with its first line."""
    strings = (
        (node.lineno, node.value.value.strip())
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
    yield from sorted(strings)


def main(folders: list[str]) -> int:
    """Print the findings of all Python files below ``folders``; return the exit code."""
    found = [
        f"{path}:{line}: {text!r}"
        for folder in folders
        for path in sorted(Path(folder).rglob("*.py"))
        for line, text in find_in(path.read_text(encoding="utf-8"))
    ]
    for finding in found:
        print(finding)
    if found:
        print(f"{len(found)} docstrings begin with who, what, whether, of or between")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
