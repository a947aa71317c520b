"""The store's HTTP side, over a real socket and a real folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from pydantic import SecretStr

from sluice_media.contract import RecordedFile, StoredRecording, StoredResult
from sluice_media.recording import keys
from sluice_media.storage.object_store import ObjectStore, open_volume
from sluice_media.store.deletion import Deleter
from sluice_media.store.http import StoreApi, serve_store
from tests.support.store_records import PREFIX, START, UID, chunk, file_entry, leave, span

NAME = keys.mp4_name(UID, 1)
CONTENT = bytes(range(256)) * 10
AUTH = {"Authorization": "Bearer store-token"}


@pytest.fixture
def storage(tmp_path: Path) -> ObjectStore:
    return open_volume(tmp_path / "store")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
async def client(storage: ObjectStore, told: list[str]) -> AsyncIterator[aiohttp.ClientSession]:
    async def nothing(_: str) -> None:
        return None

    deleter = Deleter(storage, release=nothing, abort_uploads=nothing, on_change=told.append)
    api = StoreApi(
        storage, token=lambda: SecretStr("store-token"), on_request=told.append, deleter=deleter
    )
    deleting = asyncio.create_task(deleter.run())
    async with (
        serve_store(api, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=AUTH) as session,
    ):
        yield session
    deleting.cancel()


async def leave_mp4(storage: ObjectStore) -> None:
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)})))
    file = RecordedFile(index=1, name=NAME, state="Ready", started_at=START, sha256="ab12")
    await storage.put(keys.result_key(PREFIX, 1), file.to_json().encode())
    await storage.put(keys.mp4_key(PREFIX, UID, 1), CONTENT)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer other"}])
async def test_without_the_token_nothing_is_said(
    client: aiohttp.ClientSession, header: dict[str, str]
) -> None:
    url = client._base_url
    assert url is not None
    async with aiohttp.ClientSession(url) as other:
        for path in (f"/v1/recordings/{UID}", f"/v1/recordings/{UID}/files/{NAME}"):
            async with other.get(path, headers=header) as answer:
                assert answer.status == 401


async def test_a_recording_nobody_knows(client: aiohttp.ClientSession) -> None:
    async with client.get(f"/v1/recordings/{UID}") as answer:
        result = StoredResult.model_validate_json(await answer.read())
    assert (result.state, result.files) == ("Unknown", [])


async def test_files_come_in_pages_for_whoever_asks_so(
    client: aiohttp.ClientSession, storage: ObjectStore
) -> None:
    entries = [file_entry(chunk(1, {0: span(0, 9)}), index=number) for number in range(1, 8)]
    await leave(storage, *entries)

    async def ask(query: str) -> StoredResult:
        async with client.get(f"/v1/recordings/{UID}{query}") as answer:
            return StoredResult.model_validate_json(await answer.read())

    pages = [
        await ask(query) for query in ("", "?limit=3", "?limit=3&before=5", "?limit=3&before=2")
    ]
    assert [([f.index for f in p.files], p.older_files) for p in pages] == [
        ([1, 2, 3, 4, 5, 6, 7], 0),
        ([5, 6, 7], 4),
        ([2, 3, 4], 1),
        ([1], 0),
    ]
    for query in (
        "?limit=0",
        "?limit=-1",
        "?limit=x",
        "?limit=3&before=%c2%b2",
        f"?limit={'9' * 30}",
    ):
        async with client.get(f"/v1/recordings/{UID}{query}") as answer:
            assert answer.status == 400


async def test_a_put_is_remembered_and_repeatable(
    client: aiohttp.ClientSession, storage: ObjectStore, told: list[str]
) -> None:
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)}), closed=False), done=None)
    gone = StoredRecording(uid=UID, name="rec", prefix=PREFIX, recorder_gone=True)
    for body in (gone, gone, gone.model_copy(update={"recorder_gone": False})):
        async with client.put(f"/v1/recordings/{UID}", data=body.to_json()) as answer:
            result = StoredResult.model_validate_json(await answer.read())
            assert (answer.status, result.state) == (200, "Finalizing")
    assert told == [UID] * 3
    stored = StoredRecording.model_validate_json(await storage.get(keys.request_key(UID)))
    assert stored == gone


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        StoredRecording(uid="other", name="rec", prefix=PREFIX).to_json().encode(),
        StoredRecording(uid=UID, name="rec", prefix="a/../b").to_json().encode(),
        StoredRecording(uid=UID, name="rec", prefix="/etc").to_json().encode(),
        StoredRecording(uid=UID, name="rec", prefix="recordings").to_json().encode(),
        StoredRecording(uid=UID, name="rec", prefix="recordings/other").to_json().encode(),
    ],
)
async def test_a_put_that_makes_no_sense(client: aiohttp.ClientSession, body: bytes) -> None:
    async with client.put(f"/v1/recordings/{UID}", data=body) as answer:
        assert answer.status == 422


@pytest.mark.parametrize(
    ("wanted", "status", "content", "content_range"),
    [
        (None, 200, CONTENT, None),
        ("bytes=0-9", 206, CONTENT[:10], "bytes 0-9/2560"),
        ("bytes=100-", 206, CONTENT[100:], "bytes 100-2559/2560"),
        ("bytes=-10", 206, CONTENT[-10:], "bytes 2550-2559/2560"),
        ("bytes=2559-9999", 206, CONTENT[-1:], "bytes 2559-2559/2560"),
        ("bytes=2560-", 416, None, "bytes */2560"),
        ("bytes=nonsense", 416, None, "bytes */2560"),
    ],
)
async def test_a_file_is_handed_out_as_a_whole_and_in_parts(
    client: aiohttp.ClientSession,
    storage: ObjectStore,
    wanted: str | None,
    status: int,
    content: bytes | None,
    content_range: str | None,
) -> None:
    await leave_mp4(storage)
    headers = {"Range": wanted} if wanted else {}
    async with client.get(f"/v1/recordings/{UID}/files/{NAME}", headers=headers) as answer:
        assert answer.status == status
        assert answer.headers.get("Content-Range") == content_range
        if content is not None:
            assert await answer.read() == content
            assert answer.headers["ETag"] == '"ab12"'


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/recordings/{UID}/files/other.mp4",
        f"/v1/recordings/{UID}/files/recording.json",
        f"/v1/recordings/{UID}/files/..%2F..%2Fdone.json",
        "/v1/recordings/..%2F..%2Fetc",
        "/v1/recordings/.hidden",
    ],
)
async def test_nothing_but_finished_files_is_handed_out(
    client: aiohttp.ClientSession, storage: ObjectStore, path: str
) -> None:
    await leave_mp4(storage)
    async with client.get(path) as answer:
        assert answer.status == 404


async def answered(client: aiohttp.ClientSession, method: str) -> tuple[int, str]:
    async with client.request(method, f"/v1/recordings/{UID}") as answer:
        raw = await answer.read()
        return answer.status, StoredResult.model_validate_json(raw).state if raw[:1] == b"{" else ""


async def until_deleted(client: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        while await answered(client, "DELETE") != (200, "Deleted"):
            await asyncio.sleep(0.01)


async def test_a_deleted_recording_leaves_nothing_but_the_word_of_it(
    client: aiohttp.ClientSession, storage: ObjectStore
) -> None:
    await leave_mp4(storage)
    other = "recordings/rec-uid-10/recording.json"
    await storage.put(other, b"{}")
    status, state = await answered(client, "DELETE")
    assert (status, state) in [(202, "Deleting"), (200, "Deleted")]
    await until_deleted(client)
    assert await answered(client, "GET") == (200, "Deleted")
    left = [e.key async for e in storage.list()]
    assert left == [keys.deletion_key(UID), other] or left == [other, keys.deletion_key(UID)]
    told = StoredRecording(uid=UID, name="rec", prefix=PREFIX)
    async with client.put(f"/v1/recordings/{UID}", data=told.to_json()) as answer:
        assert '"Deleted"' in await answer.text()
    assert len([e async for e in storage.list()]) == 2, "a late repetition brings nothing back"


@pytest.mark.parametrize("gone", [False, True])
async def test_a_recording_is_not_deleted_under_its_recorder(
    client: aiohttp.ClientSession, storage: ObjectStore, gone: bool
) -> None:
    await leave(storage, file_entry(chunk(1, {0: span(0, 9)}), closed=False), done=None)
    told = StoredRecording(uid=UID, name="rec", prefix=PREFIX, recorder_gone=gone)
    await storage.put(keys.request_key(UID), told.to_json().encode())
    status, _ = await answered(client, "DELETE")
    if not gone:
        assert status == 409
        assert await answered(client, "GET") == (200, "Open")
        return
    await until_deleted(client)


async def test_deleting_what_nobody_knows_is_done_at_once(client: aiohttp.ClientSession) -> None:
    await until_deleted(client)
