"""The provisioner's decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.kube.storage import quantity_bytes, to_be_removed, volume_for, wants_volume


def _claim(**changes: Any) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "metadata": {"name": "data", "namespace": "ns", "uid": "u1"},
        "spec": {
            "storageClassName": "sluice-local",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
        "status": {"phase": "Pending"},
    }
    for key, value in changes.items():
        claim[key] = {**claim[key], **value}
    return claim


def _volume(phase: str, **metadata: Any) -> dict[str, Any]:
    volume = volume_for(_claim(), Path("/volumes"))
    volume["status"] = {"phase": phase}
    volume["metadata"].update(metadata)
    return volume


@pytest.mark.parametrize(
    ("text", "size"), [("1Gi", 2**30), ("500M", 500_000_000), ("1.5Ki", 1536), ("42", 42)]
)
def test_quantities_are_read_as_kubernetes_means_them(text: str, size: int) -> None:
    assert quantity_bytes(text) == size


def test_a_pending_claim_of_our_class_wants_a_volume() -> None:
    assert wants_volume(_claim())


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"storageClassName": "somebody-elses"}},
        {"spec": {"volumeName": "chosen"}},
        {"status": {"phase": "Bound"}},
        {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ],
)
def test_any_other_claim_does_not(changes: dict[str, Any]) -> None:
    assert not wants_volume(_claim(**changes))


def test_a_volume_is_reserved_for_its_claim() -> None:
    volume = volume_for(_claim(), Path("/volumes"))
    assert volume["spec"]["claimRef"]["uid"] == "u1"
    assert volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert volume["spec"]["hostPath"]["path"] == "/volumes/pvc-u1"


def test_a_volume_goes_when_its_claim_is_gone() -> None:
    assert to_be_removed(_volume("Released"))
    assert not to_be_removed(_volume("Bound"))
    assert not to_be_removed(_volume("Released", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert not to_be_removed(_volume("Released", annotations={}))


def test_a_volume_somebody_decided_to_keep_stays() -> None:
    volume = _volume("Released")
    volume["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
    assert not to_be_removed(volume)
