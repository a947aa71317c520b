"""MediaStore in a bucket: its pod, its limit, its free space, and the default of a namespace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice_operator.domain.observed import DefaultBucket, DefaultStore
from tests.unit.domain.builders import StoreCase, make_mediastore, make_recording

GIB = 1 << 30


def config(case: StoreCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


def up(**facts: Any) -> StoreCase:
    case = make_mediastore("tapes").s3()
    case.settled().store(**facts).decide()
    return case


def test_a_bucket_needs_no_claim() -> None:
    case = up(used_bytes=5)
    kinds = [child.manifest["kind"] for child in case.last.children] if case.last else []
    assert kinds == ["Secret", "ConfigMap", "Service", "Deployment"]
    assert case.word("Ready") == "True/Configured"
    assert case.status["location"] == "s3://tapes/"
    assert "claimName" not in case.status
    volumes = case.child("Deployment")["spec"]["template"]["spec"]["volumes"]
    assert not [volume for volume in volumes if "persistentVolumeClaim" in volume]


def test_its_limit_is_configured_in_bytes_and_can_change() -> None:
    case = make_mediastore("tapes").s3()
    case.spec(limit="500Gi", warnAtPercent=80).decide()
    assert (config(case)["limitBytes"], config(case)["warnAtPercent"]) == (500 * GIB, 80)
    case.spec(limit="1Ti").decide()
    assert config(case)["limitBytes"] == 1024 * GIB


def test_it_keeps_its_scratch_in_bounds_and_asks_the_node_for_it() -> None:
    case = make_mediastore("tapes").s3().settings(store_scratch_bytes=GIB)
    case.decide()
    assert config(case)["scratchLimitBytes"] == GIB
    (container,) = case.child("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["ephemeral-storage"] == "1344Mi"


def test_its_pod_may_have_a_low_priority() -> None:
    case = make_mediastore("tapes").s3().settings(store_priority_class="background")
    case.decide()
    template = case.child("Deployment")["spec"]["template"]["spec"]
    assert template["priorityClassName"] == "background"


def test_an_error_that_the_pod_reports_is_the_cause() -> None:
    case = up(writable=False, reason="NoSuchBucket", message="There is no bucket tapes.")
    assert case.word("Stalled") == "True/NoSuchBucket"
    assert case.last is not None
    assert case.last.event_reasons["Stalled"] == "Warning"


def test_missing_keys_are_named_with_their_secret() -> None:
    case = up(config_error="The keys are not there.", config_error_reason="SecretKeyMissing")
    stalled = case.condition("Stalled")
    assert stalled is not None
    assert stalled.message.endswith(
        "Looked for: key id of Secret minio and key secret of Secret minio."
    )


@pytest.mark.parametrize(
    ("headroom", "used", "want"),
    [
        ("Enough", 10, "True/Enough"),
        ("AlmostExceeded", 19, "False/AlmostExceeded"),
        ("Exceeded", 20, "False/Exceeded"),
        ("Unknown", 0, "Unknown/NotMeasured"),
        ("AWordOfANewerStore", 0, "Unknown/NotMeasured"),
    ],
)
def test_its_free_space_is_a_condition(headroom: str, used: int, want: str) -> None:
    case = up(headroom=headroom, used_bytes=used * GIB, limit_bytes=20 * GIB)
    assert case.word("StorageHeadroom") == want


def test_filling_up_makes_one_event_with_stable_figures() -> None:
    case = up(headroom="Enough", used_bytes=GIB, limit_bytes=20 * GIB, seconds_to_full=7_777)
    assert case.last is not None
    assert "StorageHeadroom" not in case.last.event_reasons
    assert case.status["secondsToFull"] == 7_740
    nearly: dict[str, Any] = {"headroom": "AlmostExceeded", "limit_bytes": 20 * GIB}
    decision = case.store(used_bytes=19 * GIB, **nearly).decide()
    assert decision.event_reasons["StorageHeadroom"] == "Warning"
    before = case.condition("StorageHeadroom")
    case.store(used_bytes=19 * GIB + (1 << 20), **nearly).decide()
    assert case.condition("StorageHeadroom") == before


def test_an_operator_that_just_started_keeps_the_stored_headroom() -> None:
    case = up(headroom="AlmostExceeded", used_bytes=19 * GIB, limit_bytes=20 * GIB)
    case.operator_restarted().decide()
    assert case.word("StorageHeadroom") == "False/AlmostExceeded"


def test_a_namespace_may_get_a_bucket_of_its_own_prefix() -> None:
    bucket = DefaultBucket("tapes", "media", "https://s3.example", "eu-1", "live")
    case = make_recording("r").settings(default_store=DefaultStore(bucket=bucket, limit="1Ti"))
    case.storeless().decide()
    assert case.last is not None
    (child,) = case.last.children
    assert child.manifest["spec"] == {
        "s3": {
            "bucket": "tapes",
            "region": "eu-1",
            "prefix": "live/show",
            "pathStyle": True,
            "serviceAccountName": "media",
            "endpoint": "https://s3.example",
        },
        "limit": "1Ti",
    }
