"""The rule about imports between test packages finds what it is for."""

from __future__ import annotations

import pytest

from tests.verify.imports import find_in


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("tests/unit/hub/test_ring.py", "from tests.unit.gateway.rig import until"),
        ("tests/unit/hub/test_ring.py", "from tests.media import conftest"),
        ("tests/support/rig.py", "import tests.cluster.conftest"),
        ("tests/faults/test_disks.py", "from tests.cluster.recordings import finished"),
    ],
)
def test_an_import_of_another_test_package_is_found(path: str, line: str) -> None:
    assert len(list(find_in(path, line))) == 1


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("tests/unit/hub/test_ring.py", "from tests.unit.hub.concert import play"),
        ("tests/media/test_push.py", "from tests.support.push_rig import PushRig"),
        ("tests/unit/kube/test_binaries.py", "from tests.kube import packages"),
        ("tests/bench/soak.py", "from sluice_media.hub import hub"),
    ],
)
def test_what_is_its_own_or_shared_may_be_imported(path: str, line: str) -> None:
    assert list(find_in(path, line)) == []
