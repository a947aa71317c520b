"""A shell with the plugin in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.plugin.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
