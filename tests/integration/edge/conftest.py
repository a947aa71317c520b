"""One edge with one public stream, for the tests that disturb nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.edge_rig import Rig, make_rig


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with make_rig(tmp_path_factory.mktemp("edge")) as made:
        yield made
