"""Find imports of one test package in another: what tests share belongs into tests/support.

A test package is a folder below ``tests/unit`` and ``tests/integration``, or one of the other
folders with tests (``tests/media``, ``tests/cluster``, ``tests/bench``, ``tests/faults``). It may
import its own modules, ``tests.support`` and the tools (``tests.kube``, ``tests.demo``,
``tests.verify``).
``tests.support`` imports no test package.

Usage: ``python -m tests.verify.imports``, from the root of the repository; exits with 1 when
there are findings.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["find_in", "main"]

_SHARED = {"support", "kube", "demo", "verify"}
_DEEP = {"unit", "integration"}
"""Folders whose own folders are test packages."""


def find_in(path: str, source: str) -> Iterator[str]:
    """Yield a sentence for each import in ``source`` that leaves its test package.

    ``path`` is relative to the root of the repository.
    """
    own = _package(Path(path).with_suffix("").parts)
    for line, module in _imports(ast.parse(source)):
        parts = tuple(module.split("."))
        if parts[0] != "tests" or len(parts) == 1:
            continue
        imported = _package(parts)
        if imported != own and imported[0] not in _SHARED:
            yield f"{path}:{line}: imports {module}, which is of another test package"


def _package(parts: tuple[str, ...]) -> tuple[str, ...]:
    return parts[1:3] if parts[1] in _DEEP else parts[1:2]


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module.count(".") == 0:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((node.lineno, name) for name in names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)


def main() -> int:
    """Print the findings of all tests; return the exit code."""
    found = [
        sentence
        for path in sorted(Path("tests").glob("*/**/*.py"))
        for sentence in find_in(str(path), path.read_text(encoding="utf-8"))
    ]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
