"""The store counts the bytes and files of recordings, and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sluice_media.contract import StoreConfig
from sluice_media.recording import keys
from sluice_media.storage.object_store import SCRATCH, open_volume
from sluice_media.store.counting import Counter
from sluice_media.store.headroom import DiskSpace, Headroom

CONFIG = StoreConfig(namespace="default", name="default", uid="u", limit_bytes=1000)


async def test_a_file_that_is_there_twice_for_a_moment_counts_once(tmp_path: Path) -> None:
    """Near the limit it would end the recordings that go on."""
    storage = open_volume(tmp_path)
    chunk, mp4 = keys.chunk_key("recordings/r", "a", "001-000001.ts"), "recordings/r/r-001.mp4"
    making: list[str] = []
    counts: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    def note(used: int, _: DiskSpace | None, headroom: Headroom) -> None:
        counts.put_nowait((used, headroom.word))

    counter = Counter(
        storage, lambda: CONFIG, set, note, making=lambda: making[0] if making else None
    )
    await storage.put(chunk, bytes(600))
    await storage.put(f"{SCRATCH}/r-001.mp4", bytes(590))
    task = asyncio.create_task(counter.run())
    try:
        async with asyncio.timeout(10):
            assert await counts.get() == (600, "Enough")
            making.append(mp4)
            await storage.move_in(mp4, tmp_path / SCRATCH / "r-001.mp4")
            counter.changed("recordings/r")
            assert await counts.get() == (600, "Enough")
            await storage.delete(chunk)
            making.clear()
            counter.changed("recordings/r")
            assert await counts.get() == (590, "Enough")
    finally:
        task.cancel()
