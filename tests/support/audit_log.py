"""What somebody asked of the API server from a moment on, out of its audit log.

The API server renames a log that is full and begins another, which a test must not lose: a file is
known by its inode, not by its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["AuditLog", "Write"]

OPERATOR_AGENT = "sluice-operator"
_WRITING_VERBS = {"create", "update", "patch", "delete"}


@dataclass(slots=True, frozen=True)
class Write:
    verb: str
    resource: str
    name: str
    subresource: str
    code: int


class AuditLog:
    """The audit log from a moment on."""

    def __init__(self, path: Path) -> None:
        """``path`` is the file that is being written."""
        self._path = path
        self.restart()

    def restart(self) -> None:
        """Forgets what was until now."""
        now = self._path.stat()
        self._inode, self._start = now.st_ino, now.st_size

    def writes(self, namespace: str) -> list[Write]:
        """The operator's writes in a namespace but those of its Lease, oldest first."""
        found = []
        for entry in self._entries():
            where = entry.get("objectRef", {})
            if (
                entry["stage"] == "ResponseComplete"
                and entry["verb"] in _WRITING_VERBS
                and entry.get("userAgent", "").startswith(OPERATOR_AGENT)
                and where.get("namespace") == namespace
                and where.get("resource") != "leases"
            ):
                found.append(
                    Write(
                        entry["verb"],
                        where["resource"],
                        where.get("name", ""),
                        where.get("subresource", ""),
                        entry["responseStatus"]["code"],
                    )
                )
        return found

    def _entries(self) -> Iterator[dict[str, Any]]:
        for file, start in self._files():
            with file.open("rb") as log:
                log.seek(start)
                for line in log:
                    if line.endswith(b"\n"):  # the last one may still be being written
                        yield json.loads(line)

    def _files(self) -> list[tuple[Path, int]]:
        """The file that was current at the start, where it then ended, and all since then."""
        # Full ones are called audit-<time>.log, so that their names are in order.
        files = [*sorted(self._path.parent.glob(f"{self._path.stem}-*.log")), self._path]
        inodes = [file.stat().st_ino for file in files]
        assert self._inode in inodes, "the audit log was renewed too often"
        first = inodes.index(self._inode)
        return [(files[first], self._start), *((file, 0) for file in files[first + 1 :])]
