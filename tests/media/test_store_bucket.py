"""The store's pod on a bucket, with real media: what happens between the two costs no frame."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr
from structlog.testing import capture_logs

from sluice_media.contract import S3_CA_FILE, StoredRecording, StoredResult
from sluice_media.recording import keys
from sluice_media.recording.usage import read_usage
from sluice_media.storage.errors import StorageError
from sluice_media.storage.object_store import ObjectStore, open_storage
from sluice_media.store.uploads import UploadCleaner
from tests.support.media_clips import Clip, frame_hashes, make_clip
from tests.support.recorder_rig import ROOT
from tests.support.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server, key_reader, s3_server
from tests.support.s3_proxy import Fault, Kind, S3Proxy
from tests.support.s3_rig import BucketPod, leave_recording
from tests.support.store_pod import PREFIX, UID, result
from tests.support.store_process import running_store, status

NAME = keys.mp4_name(UID, 1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return make_clip(tmp_path_factory.mktemp("clip") / "av.flv", seconds=14, gop=50)


def assert_whole(server: S3Server, clip: Clip, found: StoredResult) -> None:
    mp4 = server.objects / PREFIX / NAME
    assert frame_hashes(mp4) == frame_hashes(clip.path)
    assert frame_hashes(mp4, "a:0") == frame_hashes(clip.path, "a:0")
    (file,) = found.files
    assert hashlib.sha256(mp4.read_bytes()).hexdigest() == file.sha256
    assert mp4.stat().st_size == file.size_bytes
    assert file.uri == f"s3://{BUCKET}/team-a/news/{PREFIX}/{NAME}"


def chunks(server: S3Server) -> list[Path]:
    return list(server.objects.rglob("*.ts"))


async def settled(server: S3Server) -> None:
    async with asyncio.timeout(60):
        while not (server.objects / keys.finalized_key(UID)).exists():
            await asyncio.sleep(0.05)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sluice_media.store.worker._RETRY_MIN_SECONDS", 0.5)


FAULTS = [
    Fault("SlowDown", key=".ts", times=6),
    Fault("Reset", methods=("GET",), key=".ts", times=4),
    Fault("CorruptGet", methods=("GET",), key=".ts", times=1),
    Fault("CorruptPut", methods=("PUT",), key=".mp4", times=1),
    Fault("SwallowPut", methods=("PUT",), key=".mp4", times=1),
    Fault("Throttle", methods=("GET",), key="000001.ts", bytes_per_second=150_000),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.kind}-{fault.key}")
async def test_a_fault_while_a_file_is_finished_costs_time_and_nothing_else(
    tmp_path: Path, server: S3Server, proxy: S3Proxy, clip: Clip, fault: Fault
) -> None:
    await leave_recording(server, server.storage(), clip)
    pod = BucketPod(tmp_path, server.s3(proxy.listens_at))
    proxy.fault = Fault(fault.kind, fault.methods, fault.key, fault.times, fault.bytes_per_second)
    async with pod.running() as session:
        found = await result(session, "Done")
        await settled(server)
    assert proxy.fault.struck
    assert_whole(server, clip, found)
    assert not chunks(server)
    assert not list((tmp_path / "spool/finalize").glob("*"))


async def test_a_store_that_is_away_while_a_file_is_finished(
    tmp_path: Path, server: S3Server, proxy: S3Proxy, clip: Clip
) -> None:
    await leave_recording(server, server.storage(), clip)
    pod = BucketPod(tmp_path, server.s3(proxy.listens_at))
    async with pod.running() as session:
        proxy.fault = Fault("Down")
        pod.configure(pod_s3 := server.s3(proxy.listens_at), generation=2)
        said = await status(pod, lambda s: s.reason is not None)
        assert (said.writable, said.reason) == (False, "Unreachable")
        assert said.message == "the connection to the store broke"
        await asyncio.sleep(1)
        proxy.fault = None
        pod.configure(pod_s3, generation=3)
        await status(pod, lambda s: s.writable)
        assert_whole(server, clip, await result(session, "Done"))


async def test_without_scratch_space_the_mp4_is_made_of_fragments(
    tmp_path: Path, server: S3Server, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.store.finalize._SCRATCH_MARGIN_BYTES", 1 << 60)
    await leave_recording(server, server.storage(), clip)
    pod = BucketPod(tmp_path, server.s3())
    async with pod.running() as session:
        found = await result(session, "Done")
    assert_whole(server, clip, found)
    assert str(found.files[0].message).startswith("a fragmented MP4, because ")
    assert b"moof" in (server.objects / PREFIX / NAME).read_bytes()


@pytest.mark.parametrize("scratch", [True, False])
async def test_a_damaged_chunk_in_a_bucket_is_a_gap(
    tmp_path: Path, server: S3Server, clip: Clip, monkeypatch: pytest.MonkeyPatch, scratch: bool
) -> None:
    if not scratch:
        monkeypatch.setattr("sluice_media.store.finalize._SCRATCH_MARGIN_BYTES", 1 << 60)
    await leave_recording(server, server.storage(), clip)
    bad = sorted(chunks(server))[1]
    key = bad.relative_to(server.objects).as_posix()
    data = bytearray(bad.read_bytes())
    data[1000] ^= 1
    await server.storage().put(key, bytes(data))
    async with BucketPod(tmp_path, server.s3()).running() as session:
        found = await result(session, "Done")
    (file,) = found.files
    assert (file.state, file.lost_chunks, len(file.gaps)) == ("Ready", 1, 1)
    assert frame_hashes(server.objects / PREFIX / NAME)
    assert chunks(server) == [bad]


async def test_sound_alone_makes_fragments_of_some_seconds(
    tmp_path: Path, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.store.finalize._SCRATCH_MARGIN_BYTES", 1 << 60)
    sound = make_clip(tmp_path / "a.flv", seconds=10, video=None)
    await leave_recording(server, server.storage(), sound)
    async with BucketPod(tmp_path, server.s3()).running() as session:
        found = await result(session, "Done")
    mp4 = server.objects / PREFIX / NAME
    assert frame_hashes(mp4, "a:0") == frame_hashes(sound.path, "a:0")
    assert 1 < mp4.read_bytes().count(b"moof") < 6
    assert found.files[0].size_bytes == mp4.stat().st_size


async def test_kept_chunks_are_a_playlist_that_plays_the_same_frames(
    tmp_path: Path, server: S3Server, clip: Clip
) -> None:
    storage = server.storage()
    await leave_recording(server, storage, clip)
    told = StoredRecording(
        uid=UID, name="rec", prefix=PREFIX, keep_original=True, original_seconds=1e9
    )
    await storage.put(keys.request_key(UID), told.to_json().encode())
    async with BucketPod(tmp_path, server.s3()).running() as session:
        (file,) = (await result(session, "Done")).files
    assert file.original_uri == f"s3://{BUCKET}/team-a/news/{PREFIX}/001.m3u8"
    assert frame_hashes(server.objects / PREFIX / "001.m3u8") == frame_hashes(clip.path)


async def test_what_cannot_be_an_mp4_can_still_be_watched(
    tmp_path: Path, server: S3Server, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sluice_media.store.verify._ENOUGH_SHARE", 2)
    await leave_recording(server, server.storage(), clip)
    async with BucketPod(tmp_path, server.s3()).running() as session:
        (file,) = (await result(session, "Done")).files
    assert (file.state, file.final) == ("Failed", True)
    assert file.original_uri is not None
    assert frame_hashes(server.objects / PREFIX / "001.m3u8") == frame_hashes(clip.path)


async def test_a_store_killed_while_it_uploads_leaves_no_parts_in_the_end(
    tmp_path: Path, server: S3Server
) -> None:
    cleaner = UploadCleaner(server.s3(), tmp_path, key_reader().get)
    storage = server.storage()
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(8 << 20)
            started.set()
            await asyncio.sleep(0.05)

    writing = asyncio.create_task(
        server.storage().put_stream(keys.mp4_key(PREFIX, UID, 1), endless())
    )
    other = f"{PREFIX}0/other.mp4"
    writing_other = asyncio.create_task(server.storage().put_stream(other, endless()))
    await asyncio.wait_for(started.wait(), 30)
    await asyncio.sleep(0.5)
    for task in (writing, writing_other):
        task.cancel()
    await asyncio.wait((writing, writing_other))
    assert await cleaner.abort("", older_than_seconds=3600) == 0, "it may be under way elsewhere"
    prefixes = (PREFIX, other, "")
    assert [await cleaner.abort(prefix) for prefix in prefixes] == [1, 1, 0]
    assert [e async for e in storage.list("")] == []


async def test_the_room_that_is_left_is_measured_and_told(
    tmp_path: Path, server: S3Server, clip: Clip
) -> None:
    await leave_recording(server, server.storage(), clip, done=False)
    size = sum(f.stat().st_size for f in server.objects.rglob("*") if f.is_file())
    pod = BucketPod(tmp_path, server.s3(), limit_bytes=size * 2)
    async with pod.running():
        said = await status(pod, lambda s: s.headroom == "Enough")
        assert (said.limit_bytes, said.available_bytes) == (size * 2, None)
        assert size <= said.used_bytes < size * 1.1
        pod.configure(server.s3(), limit_bytes=int(size * 1.1))
        await status(pod, lambda s: s.headroom == "AlmostExceeded")
        pod.configure(server.s3(), limit_bytes=size // 2)
        await status(pod, lambda s: s.headroom == "Exceeded")
        async with asyncio.timeout(20):
            while (usage := await read_usage(server.storage())) is None or not usage.exceeded:
                await asyncio.sleep(0.05)
        assert usage.used_bytes >= size
        metrics = await pod.metrics()
        assert metrics["sluice_store_headroom_bytes"] == 0
        assert metrics["sluice_store_used_bytes"] >= size


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [("bucket", "NoSuchBucket"), ("secret", "AccessDenied"), ("endpoint", "Unreachable")],
)
async def test_a_store_that_cannot_be_used_says_why_and_a_correction_counts_at_once(
    tmp_path: Path, server: S3Server, break_it: str, reason: str
) -> None:
    wrong: dict[str, object] = {"bucket": "no-such", "endpoint": "http://127.0.0.1:9"}
    s3 = server.s3().model_copy(update={k: v for k, v in wrong.items() if k == break_it})
    pod = BucketPod(tmp_path, s3)
    if break_it == "secret":
        pod.set_keys(secret="canary-of-somebody-else")
    async with pod.running():
        said = await status(pod, lambda s: s.reason is not None)
        assert (said.writable, said.reason) == (False, reason)
        assert "canary" not in str(said.message)
        pod.configure(server.s3())
        pod.set_keys()
        await status(pod, lambda s: s.writable)


async def test_a_recording_is_deleted_while_its_file_is_being_made(
    tmp_path: Path, server: S3Server, proxy: S3Proxy, clip: Clip
) -> None:
    await leave_recording(server, server.storage(), clip)
    proxy.fault = Fault("Throttle", methods=("GET",), key=".ts")
    pod = BucketPod(tmp_path, server.s3(proxy.listens_at))
    async with pod.running() as session:
        await status(pod, lambda s: s.finalizing == UID)
        async with asyncio.timeout(60):
            while True:
                async with session.delete(f"/v1/recordings/{UID}") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.1)
        # A recorder of a lost node that comes back changes nothing.
        assert (await result(session, "Deleted")).files == []
    left = [p.name for p in server.objects.rglob("*") if p.is_file()]
    assert set(left) <= {f"{UID}.json", "usage.json"}


async def test_a_bucket_behind_a_private_authority(tmp_path: Path, clip: Clip) -> None:
    certificate, authority = tls_files(tmp_path)
    with s3_server(tmp_path, certificate=certificate) as secure:
        endpoint = f"https://127.0.0.1:{secure.port}"
        await leave_recording(secure, secure_target(secure, endpoint, authority), clip)
        untrusting = BucketPod(tmp_path / "1", secure.s3(endpoint=endpoint))
        async with untrusting.running():
            said = await status(untrusting, lambda s: s.reason is not None)
            assert (said.writable, said.reason) == (False, "Tls")
        s3 = secure.s3(endpoint=endpoint, has_ca=True)
        pod = BucketPod(tmp_path / "2", s3, authority=authority)
        async with pod.running() as session:
            assert_whole(secure, clip, await result(session, "Done"))
        cleaner = UploadCleaner(
            s3, tmp_path, (key_reader() | {S3_CA_FILE: SecretStr(authority)}).get
        )
        with capture_logs() as logs:
            await cleaner.abort("")
        assert logs == []


async def test_a_private_authority_counts_instead_of_the_public_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, public = tls_files(tmp_path)
    (tmp_path / "other").mkdir()
    _, private = tls_files(tmp_path / "other")
    (tmp_path / "public.pem").write_text(public)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    with s3_server(tmp_path, certificate=certificate) as secure:
        endpoint = f"https://127.0.0.1:{secure.port}"
        await secure.storage(endpoint=endpoint).put("a", b"x")
        with pytest.raises(StorageError) as refused:
            await secure_target(secure, endpoint, private).put("a", b"x")
        assert refused.value.reason == "Tls"
        await secure_target(secure, endpoint, private + public).put("a", b"x")
        # Only for the one store.
        await secure.storage(endpoint=endpoint).put("a", b"x")


def secure_target(server: S3Server, endpoint: str, authority: str) -> ObjectStore:
    keys_with_ca = key_reader() | {S3_CA_FILE: SecretStr(authority)}
    s3 = server.s3(endpoint=endpoint, has_ca=True)
    return open_storage(s3, Path("/nonexistent"), keys_with_ca.get)


def tls_files(folder: Path) -> tuple[tuple[Path, Path], str]:
    """Files of a certificate for 127.0.0.1 and of its key, and the authority's PEM."""
    now = datetime.now(UTC)
    keys_of = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in ("ca", "store")]
    certificates = []
    for own, is_authority in ((0, True), (1, False)):
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[own])
            .issuer_name(names[0])
            .public_key(keys_of[own].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if not is_authority:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        certificates.append(builder.sign(keys_of[0], hashes.SHA256()))
    pem = [c.public_bytes(serialization.Encoding.PEM) for c in certificates]
    (folder / "tls.crt").write_bytes(pem[1])
    (folder / "tls.key").write_bytes(
        keys_of[1].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return (folder / "tls.crt", folder / "tls.key"), pem[0].decode()


async def command(pod: BucketPod, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "images/media/src"),
        "SLUICE_CONFIG_FILE": str(pod.settings.config_file),
        "SLUICE_KEYS_DIR": str(pod.settings.keys_dir),
    }
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "sluice_media", "store", *words],
        env=environment,
        capture_output=True,
        check=False,
    )


async def test_people_list_and_fetch_files_in_the_pod(
    tmp_path: Path, server: S3Server, clip: Clip
) -> None:
    await leave_recording(server, server.storage(), clip)
    pod = BucketPod(tmp_path, server.s3())
    async with pod.running() as session:
        (file,) = (await result(session, "Done")).files
    listed = await command(pod, "ls")
    uid, name, state, size, *_, sha256 = listed.stdout.decode().strip().split("\t")
    assert (uid, name, state, size) == (UID, NAME, "Ready", str(file.size_bytes))
    fetched = await command(pod, "cat", UID, NAME)
    assert fetched.returncode == 0
    assert hashlib.sha256(fetched.stdout).hexdigest() == sha256 == file.sha256
    missing = await command(pod, "cat", UID, "other.mp4")
    assert (missing.returncode, missing.stdout) == (1, b"")
    assert missing.stderr.decode() == f"recording {UID} has no file other.mp4; it is Done\n"
    assert (await command(pod, "rm", UID)).returncode == 64


async def test_no_key_ever_leaves_the_process(
    tmp_path: Path, server: S3Server, proxy: S3Proxy, clip: Clip, capfd: pytest.CaptureFixture[str]
) -> None:
    await leave_recording(server, server.storage(), clip)
    pod = BucketPod(tmp_path, server.s3(proxy.listens_at))
    pod.set_keys(secret=SECRET_KEY[::-1])
    told = ""
    async with running_store(pod) as store:
        said = await status(pod, lambda s: s.reason is not None)
        told += said.to_json()
        pod.set_keys()
        kinds: tuple[Kind, ...] = ("AccessDenied", "Reset", "NoSuchBucket", "CorruptGet")
        for kind in kinds:
            proxy.fault = Fault(kind)
            await asyncio.sleep(0.7)
        proxy.fault = None
        argv = Path(f"/proc/{store.process.pid}/cmdline").read_text()
        environ = Path(f"/proc/{store.process.pid}/environ").read_text()
        told += (await store.until(lambda found: found.state == "Done", 60)).to_json()
        url = f"http://127.0.0.1:{pod.status_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            told += await answer.text()
    logged = capfd.readouterr()
    for text in (logged.out, logged.err, told, argv, environ):
        for key in (ACCESS_KEY, SECRET_KEY, SECRET_KEY[::-1], "AWS4-HMAC", "X-Amz-Signature"):
            assert key not in text
    assert "store_not_writable" in logged.out
