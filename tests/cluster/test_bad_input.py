"""What a user gets wrong: said in words, harmful to nobody else, and well again once put right."""

from __future__ import annotations

import pytest

from tests.support.kubectl import Kubectl, condition
from tests.support.objects import livestream, recording, restream, secret


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
    kube.apply(
        secret("target-key", key="k"),
        recording("orphan", "unborn"),
        restream(
            "orphan",
            "unborn",
            uri="rtmp://127.0.0.1/live",
            streamKeySecretRef={"name": "target-key", "key": "key"},
        ),
    )
    for kind in ("recording", "restream"):
        assert "unborn" in stalled(kube, kind, "orphan", "StreamNotFound", 100)
    kube.apply(livestream("unborn"))
    for kind in ("recording", "restream"):
        kube.wait_condition(kind, "orphan", "Ready", seconds=60)


def test_a_missing_key_in_a_secret_is_said_and_healed(kube: Kubectl) -> None:
    kube.apply(livestream("keyless"), secret("target", other="x"))
    kube.apply(restream("keyless", "keyless", uriSecretRef={"name": "target", "key": "uri"}))
    sentence = stalled(kube, "restream", "keyless", "SecretKeyMissing")
    assert "key uri of Secret target" in sentence
    kube.apply(secret("target", uri="rtmp://198.51.100.1/live/key"))
    kube("annotate", "restream", "keyless", "sluice.video/restart=1")
    kube.wait_condition("restream", "keyless", "Ready", seconds=120)


def test_a_claim_that_does_not_exist_is_said_and_healed(kube: Kubectl) -> None:
    kube.apply(
        {
            "apiVersion": "sluice.video/v1alpha1",
            "kind": "MediaStore",
            "metadata": {"name": "archive"},
            "spec": {"persistentVolumeClaim": {"claimName": "nowhere"}},
        }
    )
    assert "nowhere" in stalled(kube, "mediastore", "archive", "ClaimNotFound")
    kube.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "nowhere"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )
    kube.wait_condition("mediastore", "archive", "Ready", seconds=120)
