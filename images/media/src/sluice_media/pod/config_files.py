"""A pod's configuration and keys, as files that the kubelet refreshes under our feet.

A ConfigMap or Secret volume is swapped as a whole by renaming a symbolic link, so a read sees the
old files or the new ones, never a mixture. Looking at a handful of inodes four times a second
costs less than an inotify binding would, and also works for plain files in tests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Generic, TypeVar

import structlog
from pydantic import SecretStr, ValidationError

from sluice_media.contract import PodConfig

_POLL_SECONDS = 0.25
_MAX_KEY_BYTES = 65_536
"""Keys are short; what a few authorities' certificates need is not."""

C = TypeVar("C", bound=PodConfig)
_log = structlog.get_logger(__name__)

_Signature = tuple[tuple[str, int, int, int], ...]


class ConfigError(ValueError):
    """The configuration file is missing or not what this role understands."""


class ConfigWatch(Generic[C]):
    """The configuration of a role: its present value, and a way to wait for the next.

    ``config`` is always the last value that parsed; a broken file is logged once and the former
    value stays, because a stream on air must not stop for a typing error.
    """

    def __init__(self, model: type[C], config_file: Path, keys_dir: Path) -> None:
        """Reads the file at once. Raises ConfigError when it cannot be used."""
        self._model = model
        self._file = config_file
        self._keys_dir = keys_dir
        self.config: C = self._read()
        self._seen = self._signature()

    def key(self, name: str) -> SecretStr | None:
        """The key in the file ``name`` below the keys folder, or None when there is none (yet)."""
        try:
            with (self._keys_dir / name).open("rb") as file:
                raw = file.read(_MAX_KEY_BYTES)
        except OSError:
            return None
        text = raw.decode("utf-8", "replace").strip()
        return SecretStr(text) if text else None

    async def changes(self) -> AsyncIterator[C]:
        """Yields after each change of the configuration file or of any key file."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self.look():
                yield self.config

    def look(self) -> bool:
        """Looks once; returns whether the configuration file or any key file has changed. For who
        has a beat of its own."""
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature
        try:
            self.config = self._read()
        except ConfigError as error:
            _log.error("config_not_usable", error=str(error))
            return False
        return True

    def _read(self) -> C:
        try:
            raw = self._file.read_bytes()
        except OSError as missing:
            raise ConfigError(f"{self._file} cannot be read: {missing.strerror}") from missing
        try:
            return self._model.model_validate_json(raw)
        except ValidationError as invalid:
            # Not the exception's own text: it quotes the input.
            where = ", ".join(".".join(map(str, e["loc"])) or "." for e in invalid.errors())
            raise ConfigError(f"{self._file} is not a {self._model.__name__}: {where}") from invalid

    def _signature(self) -> _Signature:
        # No pathlib here: this runs four times a second in every pod.
        paths = [str(self._file)]
        for folder in _entries(str(self._keys_dir)):
            paths += _entries(folder)
        found = []
        for path in paths:
            try:
                stat = os.stat(path)  # noqa: PTH116
            except OSError:
                continue
            found.append((path, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(found)


def _entries(folder: str) -> list[str]:
    """Paths in a folder; none when it is not one (any more)."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries)
    except OSError:
        return []
