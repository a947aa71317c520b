"""The cluster of the cluster tests, and an S3 server beside it that can be made to fail."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.chart_release import release
from tests.support.cluster import REPOSITORY, Cluster
from tests.support.cluster_fixtures import clip, cluster, kube, sluice
from tests.support.frames import make_clip
from tests.support.objects import mediastore, secret, secret_key
from tests.support.s3 import ACCESS_KEY, BUCKET, PREFIX, SECRET_KEY, S3Server, s3_server
from tests.support.target import address_towards, free_port

__all__ = ["FaultyS3", "clip", "cluster", "kube", "release", "s3", "sluice"]

CREDENTIALS = "bucket-credentials"


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven minutes, each frame different."""
    return make_clip(tmp_path_factory.mktemp("clips") / "long.flv", seconds=660)


@dataclass(slots=True)
class FaultyS3:
    """A bucket that pods reach through a proxy, which breaks things when told to."""

    server: S3Server
    endpoint: str
    control: str

    def objects(self, name: str = "bucket") -> list[dict[str, Any]]:
        """The MediaStore of that name and its Secret."""
        s3 = {
            "endpoint": self.endpoint,
            "bucket": BUCKET,
            "prefix": PREFIX,
            "accessKeySecretRef": secret_key(CREDENTIALS, "access"),
            "secretKeySecretRef": secret_key(CREDENTIALS, "secret"),
        }
        return [
            secret(CREDENTIALS, access=ACCESS_KEY, secret=SECRET_KEY),
            mediastore(name, s3=s3),
        ]

    @contextmanager
    def fault(self, kind: str, **more: Any) -> Iterator[None]:
        self._tell("PUT", {"kind": kind, **more})
        try:
            yield
        finally:
            self._tell("DELETE", {})

    def _tell(self, method: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.control}/fault", data, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.status == 200


@pytest.fixture
def s3(sluice: Cluster, tmp_path: Path) -> Iterator[FaultyS3]:
    host = address_towards(sluice.node_ip)
    listens, control = free_port(host), free_port("127.0.0.1")
    with s3_server(tmp_path) as server:
        proxy = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.s3_proxy", f"{host}:{listens}"),
                *(f"127.0.0.1:{server.port}", f"127.0.0.1:{control}"),
            ],
            cwd=REPOSITORY,
        )
        try:
            yield FaultyS3(server, f"http://{host}:{listens}", f"http://127.0.0.1:{control}")
        finally:
            proxy.terminate()
            proxy.wait(10)
