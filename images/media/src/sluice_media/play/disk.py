"""The DVR window on the pod's disk: one file for each closed segment of the present session.

All methods block, so their callers run them in a thread. A restarted container finds the files
again. Nothing is synced: another pod does not get this disk, and a file that a crash of the node
cut short is found by its length.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

from sluice_media.play.segment_file import (
    MAX_HEAD_BYTES,
    SegmentFileError,
    StoredSegment,
    decode_head,
)

_SUFFIX = ".segment"
_log = structlog.get_logger(__name__)


class SegmentDisk:
    """The files of one pod: ``<folder>/<session>/<number>.segment``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, session: str, number: int, data: Iterable[bytes]) -> None:
        """Write a segment. Raises OSError; then there is no file of that number."""
        path = self._path(session, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".writing")
        try:
            with temporary.open("wb") as file:
                file.writelines(data)
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def read(self, session: str, number: int, offset: int = 0, size: int | None = None) -> bytes:
        """Return ``size`` bytes of a segment's file from ``offset`` on; None: all of them.

        Raises OSError, also when the file is too short."""
        with self._path(session, number).open("rb") as file:
            file.seek(offset)
            data = file.read() if size is None else file.read(size)
        if size is not None and len(data) != size:
            raise OSError(f"segment {number} has less than {offset + size} bytes")
        return data

    def delete(self, session: str, numbers: Iterable[int]) -> None:
        """Delete segments; those that do not exist are no error."""
        for number in numbers:
            self._path(session, number).unlink(missing_ok=True)

    def keep_only(self, session: str | None) -> None:
        """Delete all other sessions; None: all."""
        for folder in self._sessions():
            if folder.name != session:
                shutil.rmtree(folder, ignore_errors=True)

    def load(self) -> list[StoredSegment]:
        """Return the segments of the session that began last, in order, without their bytes.
        Files that are not complete are deleted."""
        sessions = [list(self._load(folder)) for folder in self._sessions()]
        newest = max(filter(None, sessions), key=lambda found: found[0].started_us, default=[])
        return sorted(newest, key=lambda stored: stored.segment.number)

    def _load(self, folder: Path) -> Iterator[StoredSegment]:
        for path in folder.iterdir():
            try:
                if path.suffix != _SUFFIX:
                    raise SegmentFileError("the file was not finished")
                with path.open("rb") as file:
                    stored = decode_head(file.readline(MAX_HEAD_BYTES))
                    size = os.fstat(file.fileno()).st_size
                if size != stored.data_at + stored.segment.size:
                    raise SegmentFileError("the file is not complete")
            except (SegmentFileError, OSError) as error:
                _log.warning("segment_file_unusable", file=path.name, error=str(error))
                path.unlink(missing_ok=True)
                continue
            yield stored

    def _sessions(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [entry for entry in self._folder.iterdir() if entry.is_dir()]

    def _path(self, session: str, number: int) -> Path:
        return self._folder / session / f"{number}{_SUFFIX}"
