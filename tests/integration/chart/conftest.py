from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.helm import Helm


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    """Helm with a home of its own, so that the developer's repositories do not matter."""
    home = tmp_path / "helm"
    return Helm(
        environment={
            "HELM_CACHE_HOME": str(home / "cache"),
            "HELM_CONFIG_HOME": str(home / "config"),
            "HELM_DATA_HOME": str(home / "data"),
        },
        folder=tmp_path,
    )
