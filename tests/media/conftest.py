"""What several of these tests are given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.push_rig import listening
from tests.support.s3 import S3Server, s3_server
from tests.support.s3_proxy import S3Proxy, s3_proxy
from tests.support.target import RtmpTarget, free_port

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[RtmpTarget]:
    with listening(RtmpTarget(HOST, free_port(HOST), tmp_path / "got.flv")) as made:
        yield made


@pytest.fixture(scope="module")
def running_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def server(running_server: S3Server) -> S3Server:
    running_server.empty()
    return running_server


@pytest.fixture
async def proxy(server: S3Server) -> AsyncIterator[S3Proxy]:
    async with s3_proxy(server.port) as proxy:
        yield proxy
