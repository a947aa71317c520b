"""Configuration and keys of a pod, in files that the kubelet replaces while the pod runs.

The kubelet replaces a ConfigMap or Secret volume as a whole by renaming a symbolic link. A read
therefore returns the old files or the new ones, never a mixture. Reading the metadata of a few
inodes four times a second costs less than a binding of inotify, and also works with plain files in
tests.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import structlog
from pydantic import SecretStr, ValidationError

from sluice_media.contract import PodConfig

_POLL_SECONDS = 0.25
_MAX_KEY_BYTES = 65_536
"""Maximum size of a key file. Keys are short; the certificates of a few authorities are not."""

C = TypeVar("C", bound=PodConfig)
_log = structlog.get_logger(__name__)

_FileSignature = tuple[str, int, int, int]
_Signature = tuple[_FileSignature, ...]


class _Key(NamedTuple):
    """A key, and the file that it was read from."""

    signature: _FileSignature | None
    secret: SecretStr | None


class ConfigError(ValueError):
    """The configuration file is missing, or this role cannot parse it."""


class ConfigWatch(Generic[C]):
    """Present configuration of a role, and the wait for its changes.

    ``config`` is the last value that parsed. A broken file is logged once and the former value
    stays, because a typing error must not stop a stream on air.
    """

    def __init__(self, model: type[C], config_file: Path, keys_dir: Path) -> None:
        """Read the file. Raises ConfigError when it cannot be used."""
        self._model = model
        self._file = config_file
        self._keys_dir = keys_dir
        self._keys: dict[str, _Key] = {}
        self.config: C = self._read()
        self._seen = self._signature()

    def key(self, name: str) -> SecretStr | None:
        """Return the key in the file ``name`` below the keys folder; None when the
        file is missing or empty."""
        path = f"{self._keys_dir}/{name}"
        # A server asks for its token at each request. The metadata says whether to read it again.
        signature = _signature_of(path)
        known = self._keys.get(name)
        if known is None or known.signature != signature:
            known = self._keys[name] = _Key(signature, _key_in(path) if signature else None)
        return known.secret

    async def changes(self) -> AsyncIterator[C]:
        """Yield the configuration after each change of its file or of any key file."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self.look():
                yield self.config

    def look(self) -> bool:
        """Check the files once; return whether the configuration or a key changed.

        Callers with their own periodic tick use it. All others use :meth:`changes`.
        """
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
            # The exception's own text quotes the input, which may contain a secret URI.
            where = ", ".join(".".join(map(str, e["loc"])) or "." for e in invalid.errors())
            raise ConfigError(f"{self._file} is not a {self._model.__name__}: {where}") from invalid

    def _signature(self) -> _Signature:
        # No pathlib here, to save CPU: this runs four times a second in every pod.
        paths = [str(self._file)]
        for folder in _entries(str(self._keys_dir)):
            paths += _entries(folder)
        return tuple(found for path in paths if (found := _signature_of(path)) is not None)


def _signature_of(path: str) -> _FileSignature | None:
    """Return what changes when a file is replaced; None without the file."""
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return path, stat.st_ino, stat.st_mtime_ns, stat.st_size


def _key_in(path: str) -> SecretStr | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            raw = file.read(_MAX_KEY_BYTES)
    except OSError:
        return None
    text = raw.decode("utf-8", "replace").strip()
    return SecretStr(text) if text else None


def _entries(folder: str) -> list[str]:
    """Return the paths in a folder; an empty list when the folder does not exist."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries)
    except OSError:
        return []
