"""A MediaStore in a bucket: a real S3 server, and every fault between it and us."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from sluice_media.contract import S3_ACCESS_KEY_FILE, S3_SECRET_KEY_FILE
from sluice_media.storage.errors import MissingObjectError, StorageError
from sluice_media.storage.object_store import PART_BYTES, ObjectStore, open_storage
from tests.support.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, key_reader
from tests.support.s3_proxy import Fault, Kind, S3Proxy


def assert_without_keys(*texts: object) -> None:
    for text in map(str, texts):
        assert ACCESS_KEY not in text
        assert SECRET_KEY not in text
        assert "Signature" not in text


async def test_objects_go_in_and_come_out_below_the_prefix(
    server: S3Server, tmp_path: Path
) -> None:
    storage = server.storage()
    large = os.urandom(2 * PART_BYTES + 12_345)
    (tmp_path / "large").write_bytes(large)
    await storage.put("a/small", b"0123456789")
    await storage.put_file("a/large", tmp_path / "large")
    assert (server.objects / "a/large").read_bytes() == large
    assert await storage.get("a/small") == b"0123456789"
    assert b"".join([bytes(p) async for p in storage.stream("a/large", start=5)]) == large[5:]
    assert sorted([(e.key, e.size_bytes) async for e in storage.list()]) == [
        ("a/large", len(large)),
        ("a/small", 10),
    ]
    assert await storage.folders("") == ("a",)
    await storage.delete("a/large", "a/small", "a/never-there")
    assert [e async for e in storage.list("a")] == []
    with pytest.raises(MissingObjectError):
        await storage.get("a/small")


async def test_a_stream_of_unknown_length_becomes_one_object(server: S3Server) -> None:
    storage = server.storage()
    data = os.urandom(PART_BYTES + 77)

    async def blocks() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 1 << 20):
            yield data[at : at + (1 << 20)]

    written = await storage.put_stream("s", blocks())
    assert written.size_bytes == len(data)
    assert written.sha256 == hashlib.sha256(data).hexdigest()
    assert (server.objects / "s").read_bytes() == data


async def test_a_stream_that_breaks_off_leaves_neither_object_nor_upload(server: S3Server) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield bytes(2 * PART_BYTES)
        raise RuntimeError("the encoder died")

    with pytest.raises(RuntimeError, match="the encoder died"):
        await server.storage().put_stream("s", blocks())
    assert not (server.objects / "s").exists()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("InternalError", "StoreFailed"),
        ("SlowDown", "SlowDown"),
        ("AccessDenied", "AccessDenied"),
        ("NoSuchBucket", "NoSuchBucket"),
        ("Reset", "Unreachable"),
        ("Down", "Unreachable"),
        ("CorruptPut", "Incomplete"),
        ("SwallowPut", "Incomplete"),
    ],
)
async def test_a_fault_is_named_without_a_key_and_the_object_arrives_after_it(
    server: S3Server, proxy: S3Proxy, tmp_path: Path, kind: Kind, reason: str
) -> None:
    storage = server.storage(proxy.listens_at)
    chunk = tmp_path / "chunk.ts"
    chunk.write_bytes(os.urandom(300_000))
    proxy.fault = Fault(kind)
    with capture_logs() as logs, pytest.raises(StorageError) as caught:
        await storage.put_file("k/chunk.ts", chunk)
    assert caught.value.reason == reason
    assert caught.value.__cause__ is None
    assert_without_keys(caught.value, repr(caught.value), logs)
    assert proxy.fault.struck
    proxy.fault = None
    await storage.put_file("k/chunk.ts", chunk)
    assert (server.objects / "k/chunk.ts").read_bytes() == chunk.read_bytes()


async def test_one_fault_among_many_requests_is_got_over_without_a_word(
    server: S3Server, proxy: S3Proxy
) -> None:
    storage = server.storage(proxy.listens_at)
    proxy.fault = Fault("SlowDown", times=1)
    await storage.put("k", b"data")
    assert (server.objects / "k").read_bytes() == b"data"


async def test_a_digest_that_does_not_fit_makes_the_object_be_read_back(
    server: S3Server, proxy: S3Proxy
) -> None:
    storage = server.storage(proxy.listens_at)
    proxy.fault = Fault("WrongETag", methods=("PUT",))
    await storage.put("k", b"what is there is right: such are the digests of this store")
    assert proxy.requests["GET"] == 1
    await storage.put("k", b"the next object is not trusted for that")
    assert proxy.requests["GET"] == 2


async def test_one_object_that_was_read_back_does_not_end_the_checks(
    server: S3Server, proxy: S3Proxy
) -> None:
    storage = server.storage(proxy.listens_at)
    proxy.fault = Fault("WrongETag", methods=("PUT",), times=1)
    await storage.put("k", b"old content of the same length")
    proxy.fault = Fault("SwallowPut", methods=("PUT",))
    with pytest.raises(StorageError, match="other bytes"):
        await storage.put("k", b"new content of the same length")


async def test_a_digest_that_fits_makes_every_other_question_needless(
    server: S3Server, proxy: S3Proxy, tmp_path: Path
) -> None:
    storage = server.storage(proxy.listens_at)
    (tmp_path / "large").write_bytes(os.urandom(PART_BYTES + 9))
    await storage.put("k", b"data")
    assert proxy.requests == {"PUT": 1}
    await storage.put_file("large", tmp_path / "large")
    assert not proxy.requests.keys() & {"GET", "HEAD"}


async def test_a_store_that_holds_other_bytes_is_found_out(
    server: S3Server, proxy: S3Proxy
) -> None:
    storage = server.storage(proxy.listens_at)
    (server.objects).mkdir(parents=True)
    (server.objects / "k").write_bytes(b"old content of the same length")
    proxy.fault = Fault("SwallowPut", methods=("PUT",))
    with pytest.raises(StorageError, match="other bytes"):
        await storage.put("k", b"new content of the same length")


async def test_a_slow_line_is_no_fault(server: S3Server, proxy: S3Proxy, tmp_path: Path) -> None:
    storage = server.storage(proxy.listens_at)
    (tmp_path / "chunk").write_bytes(os.urandom(24_000))
    proxy.fault = Fault("Throttle")
    await asyncio.wait_for(storage.put_file("k", tmp_path / "chunk"), 30)
    assert (server.objects / "k").stat().st_size == 24_000


async def test_a_store_that_says_nothing_is_given_up_and_more_patience_follows(
    server: S3Server, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.storage.adaptive_timeout.BASE_SECONDS", 0.3)
    storage = server.storage(proxy.listens_at)
    proxy.fault = Fault("Stall")
    with pytest.raises(StorageError) as caught:
        await storage.put("k", b"data")
    assert caught.value.reason == "Timeout"


async def test_wrong_missing_and_rotated_credentials(server: S3Server) -> None:
    keys = key_reader(secret="canary-of-another-account")
    storage = open_storage(server.s3(), Path("/nonexistent"), keys.get)
    for _ in range(2):
        with pytest.raises(StorageError) as caught:
            await storage.put("k", b"data")
        assert caught.value.reason == "AccessDenied"
        assert "canary" not in str(caught.value)
        keys.pop(S3_ACCESS_KEY_FILE, None)
        await asyncio.sleep(0.15)
    keys.update(key_reader())
    await asyncio.sleep(0.15)
    await storage.put("k", b"the same storage, with the right key")
    keys[S3_SECRET_KEY_FILE] = SecretStr("wrong again")
    await asyncio.sleep(0.15)
    with pytest.raises(StorageError):
        await storage.put("k", b"data")


async def test_a_bucket_that_is_not_there(server: S3Server) -> None:
    storage = server.storage(bucket="never-made")
    for operation in (storage.put("k", b""), storage.get("k"), storage.folders("recordings")):
        with pytest.raises(StorageError) as caught:
            await operation
        assert caught.value.reason == "NoSuchBucket", "not: there is no such object"


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://127.0.0.1:9", "Unreachable"),
        ("http://store.invalid", "Unreachable"),
        ("ftp://127.0.0.1", "Unreachable"),
        ("https://127.0.0.1:{port}", "Tls"),
    ],
)
async def test_an_endpoint_that_is_none(server: S3Server, endpoint: str, reason: str) -> None:
    with pytest.raises(StorageError) as caught:
        await server.storage(endpoint=endpoint.format(port=server.port)).get("k")
    assert caught.value.reason == reason


async def test_the_bucket_as_a_name_of_the_host(server: S3Server) -> None:
    from sluice_media.storage.bucket import bucket_url

    s3 = server.s3(endpoint="https://objects.example.com:8443", path_style=False)
    assert bucket_url(s3) == f"https://{BUCKET}.objects.example.com:8443"
    assert bucket_url(server.s3(endpoint=None)) == (f"https://s3.us-east-1.amazonaws.com/{BUCKET}")


def test_nothing_is_asked_of_a_target_that_is_only_opened(server: S3Server) -> None:
    assert isinstance(server.storage(1), ObjectStore)
