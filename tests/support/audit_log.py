"""Reader of the API server's audit log: the requests from a moment on.

The API server renames a full log and begins another. A test must read both, so a file is identified
by its inode and not by its name.
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
        """Begin at the end of ``path``, the file that is being written."""
        self._path = path
        self.restart()

    def restart(self) -> None:
        """Skip all requests up to now."""
        now = self._path.stat()
        self._inode, self._start = now.st_ino, now.st_size

    def writes(self, namespace: str) -> list[Write]:
        """Return the operator's writes in a namespace, without those of its Lease, oldest first."""
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
        """Return the files since the start, each with the offset at which to begin."""
        # Full files are named audit-<time>.log, so they sort by time.
        files = [*sorted(self._path.parent.glob(f"{self._path.stem}-*.log")), self._path]
        inodes = [file.stat().st_ino for file in files]
        assert self._inode in inodes, "the audit log was renewed too often"
        first = inodes.index(self._inode)
        return [(files[first], self._start), *((file, 0) for file in files[first + 1 :])]
