"""The store lists a recording while a recorder writes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sluice_media.storage.object_store import Entry, open_volume
from sluice_media.store.catalog import load_view
from tests.support.store_records import UID, chunk, file_entry, leave, span


async def test_a_recorder_that_says_its_last_word_during_a_look_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_volume(tmp_path / "store")
    listed = storage.list

    async def list_and_be_late(prefix: str) -> AsyncIterator[Entry]:
        async for entry in listed(prefix):
            yield entry
        await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))

    with monkeypatch.context() as patched:
        patched.setattr(storage, "list", list_and_be_late)
        view = await load_view(storage, UID)
    assert (view.done, view.files) == (None, []), "it counts as not ended"
    view = await load_view(storage, UID)
    assert view.done is not None
    assert [len(file.chunks) for file in view.files] == [1]
