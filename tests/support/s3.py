"""A real S3 server for tests: versitygw over a folder, on 127.0.0.1.

In a pod: its binary is linked statically, so it runs in any image; ``python3 -m tests.kube binaries
--only versitygw`` builds it and prints its path. Give it ``--port :7070 posix /data`` and the
environment variables below, and make each bucket a folder in ``/data``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from sluice_media.contract import S3_ACCESS_KEY_FILE, S3_SECRET_KEY_FILE, BucketLocation
from sluice_media.storage.object_store import ObjectStore, open_storage
from tests.kube.binaries import Binaries, build
from tests.kube.paths import Paths
from tests.support.ports import free_port, wait_listening

__all__ = [
    "ACCESS_KEY",
    "BUCKET",
    "PREFIX",
    "SECRET_KEY",
    "S3Server",
    "key_reader",
    "moto_server",
    "s3_server",
]

ACCESS_KEY = "CANARYACCESSKEY00001"
SECRET_KEY = "canary/secret+key-that-nobody-may-ever-print"
BUCKET = "recordings-bucket"
PREFIX = "team-a/news"


def key_reader(access: str = ACCESS_KEY, secret: str = SECRET_KEY) -> dict[str, SecretStr]:
    """Key files by name; its ``get`` is what :func:`open_storage` wants."""
    return {S3_ACCESS_KEY_FILE: SecretStr(access), S3_SECRET_KEY_FILE: SecretStr(secret)}


@dataclass(slots=True)
class S3Server:
    folder: Path
    """Folder of the server; its buckets are folders in it."""
    port: int
    log: Path

    def s3(self, port: int | None = None, **changes: object) -> BucketLocation:
        """Return the location for a MediaStore: this server, or a proxy in front of it."""
        return BucketLocation.model_validate(
            {
                "endpoint": f"http://127.0.0.1:{port or self.port}",
                "bucket": BUCKET,
                "prefix": PREFIX,
                **changes,
            }
        )

    def storage(self, port: int | None = None, **changes: object) -> ObjectStore:
        return open_storage(self.s3(port, **changes), Path("/nonexistent"), key_reader().get)

    @property
    def objects(self) -> Path:
        """Folder of all objects below the prefix."""
        return self.folder / BUCKET / PREFIX

    def empty(self) -> None:
        shutil.rmtree(self.folder / BUCKET, ignore_errors=True)
        (self.folder / BUCKET).mkdir()


@contextlib.contextmanager
def s3_server(
    folder: Path, *, certificate: tuple[Path, Path] | None = None, port: int = 0
) -> Iterator[S3Server]:
    """Yield a server while the context lasts. ``certificate``: files of a certificate and its key,
    for TLS."""
    paths = Paths.from_environment()
    build(paths, ["versitygw"])
    data = folder / "s3"
    (data / BUCKET).mkdir(parents=True, exist_ok=True)
    server = S3Server(data, port or free_port(), folder / "versitygw.log")
    argv = [str(Binaries(paths).path("versitygw")), "--port", f"127.0.0.1:{server.port}"]
    if certificate is not None:
        argv += ["--cert", str(certificate[0]), "--key", str(certificate[1])]
    environment = {**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    with server.log.open("ab") as log:
        process = subprocess.Popen(
            [*argv, "--quiet", "posix", str(data)], env=environment, stdout=log, stderr=log
        )
    try:
        _wait_for(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def moto_server(folder: Path) -> Iterator[S3Server]:
    """Yield another S3 implementation with an equal bucket: moto, which keeps objects in memory and
    checks no signature. It runs in its own Python environment."""
    tests = Path(__file__).parents[1]
    found = subprocess.run(
        [sys.executable, str(tests / "environment.py"), str(tests / "requirements-moto.lock")],
        check=True,
        capture_output=True,
        text=True,
    )
    server = S3Server(folder / "nowhere", free_port(), folder / "moto.log")
    argv = [f"{found.stdout.strip()}/moto_server", "-H", "127.0.0.1", "-p", str(server.port)]
    with server.log.open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        _wait_for(server, process)
        url = f"http://127.0.0.1:{server.port}/{BUCKET}"
        urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=20).close()
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(server: S3Server, process: subprocess.Popen[bytes]) -> None:
    wait_listening("127.0.0.1", server.port, lambda: process.poll() is None)
