"""What a user gets wrong: said in words, harmful to nobody else, and well again once put right."""

from __future__ import annotations

import pytest

from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, mediastore, recording, restream, secret


def stalled(kube: Kubectl, kind: str, name: str, reason: str, seconds: float = 90) -> str:
    """Waits for Ready=False and Stalled=True with that reason; the sentence."""
    found = kube.wait(
        kind,
        name,
        lambda o: condition(o, "Stalled").get("reason") == reason,
        why=f"Stalled/{reason}",
        seconds=seconds,
    )
    assert condition(found, "Stalled")["status"] == "True"
    assert condition(found, "Ready")["status"] == "False"
    return str(condition(found, "Stalled")["message"])


@pytest.mark.long
def test_a_reference_to_nothing_is_waited_for_then_said_and_then_healed(kube: Kubectl) -> None:
    """A Recording and a Restream name a stream that does not exist, a MediaStore such a claim."""
    kube.apply(
        secret("target-key", key="k"),
        recording("orphan", "unborn"),
        restream(
            "orphan",
            "unborn",
            uri="rtmp://127.0.0.1/live",
            streamKeySecretRef={"name": "target-key", "key": "key"},
        ),
        mediastore("archive", persistentVolumeClaim={"claimName": "nowhere"}),
    )
    for kind in ("recording", "restream"):
        assert "unborn" in stalled(kube, kind, "orphan", "StreamNotFound", 100)
    assert "nowhere" in stalled(kube, "mediastore", "archive", "ClaimNotFound")
    kube.apply(
        livestream("unborn"),
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "nowhere"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    )
    for kind in ("recording", "restream"):
        kube.wait_condition(kind, "orphan", "Ready", seconds=60)
    kube.wait_condition("mediastore", "archive", "Ready", seconds=120)
