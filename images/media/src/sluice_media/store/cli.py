"""``python -m sluice_media store ls|cat``: commands for users in the store's pod.

``ls`` prints one line for each file of each recording, tab-separated: uid, name, state, bytes,
seconds, end, sha256. ``ls UID`` prints only those of one recording. ``cat UID NAME`` writes a
finished file to standard output, e.g. through ``kubectl exec``. The store's location and keys come
from the pod's own configuration and key files.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO

import structlog

from sluice_media.contract import FileState, StoreConfig, StoredResult
from sluice_media.pod.config_files import ConfigError, ConfigWatch
from sluice_media.pod.settings import PodSettings
from sluice_media.recording import keys
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore, open_storage
from sluice_media.store.catalog import recording_uids
from sluice_media.store.results import load_result, prefix_of

USAGE = "ls [UID] | cat UID NAME"
_EX_USAGE = 64


class _CommandError(RuntimeError):
    """The command failed; the text is the message for the user."""


def run(settings: PodSettings, words: Sequence[str], output: BinaryIO) -> int:
    """Run one command and return the exit code: 0, 1 with a message on standard error, or 64 for
    an unknown command."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        match list(words):
            case ["ls"]:
                work = _list(_open(settings), None, output)
            case ["ls", uid] if keys.is_id(uid):
                work = _list(_open(settings), uid, output)
            case ["cat", uid, name] if keys.is_id(uid):
                work = _cat(_open(settings), uid, name, output)
            case _:
                return _failed(f"usage: store {USAGE}", _EX_USAGE)
        asyncio.run(work)
    except (StorageError, ConfigError, _CommandError) as error:
        return _failed(str(error))
    except BrokenPipeError:
        return _failed("the reader of the output has closed it")
    return 0


def _failed(words: str, code: int = 1) -> int:
    sys.stderr.write(f"{words}\n")
    return code


def _open(settings: PodSettings) -> ObjectStore:
    watch = ConfigWatch(StoreConfig, settings.config_file, settings.keys_dir)
    return open_storage(watch.config.s3, settings.store_dir, watch.key)


async def _list(storage: ObjectStore, uid: str | None, output: BinaryIO) -> None:
    async for result in _results(storage, uid):
        for file in result.files:
            ended = file.ended_at.isoformat() if file.ended_at is not None else "-"
            words = (
                result.uid,
                file.name,
                file.state,
                str(file.size_bytes) if file.size_bytes is not None else "-",
                f"{file.duration_seconds:.3f}",
                ended,
                file.sha256 or "-",
            )
            output.write(("\t".join(words) + "\n").encode())
    output.flush()


async def _results(storage: ObjectStore, uid: str | None) -> AsyncIterator[StoredResult]:
    for known in [uid] if uid is not None else await recording_uids(storage):
        yield await load_result(storage, known)


async def _cat(storage: ObjectStore, uid: str, name: str, output: BinaryIO) -> None:
    result = await load_result(storage, uid)
    file = next((f for f in result.files if f.name == name), None)
    if file is None:
        raise _CommandError(f"recording {uid} has no file {name}; it is {result.state}")
    if file.state != FileState.READY:
        raise _CommandError(f"{name} is {file.state}")
    key = keys.mp4_key(await prefix_of(storage, uid), uid, file.index)
    async for part in storage.stream(key):
        await asyncio.to_thread(output.write, part)
    await asyncio.to_thread(output.flush)
