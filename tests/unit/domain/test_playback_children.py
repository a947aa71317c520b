"""The objects for playback: keys, configuration, rollout, protection, and their end."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode
from typing import Any

import pytest

from sluice_operator.domain.decision import Decision
from sluice_operator.domain.manifests.secret import edge_token
from sluice_operator.domain.names import KEEP_POD_ANNOTATIONS
from tests.unit.domain.playback_cases import SESSION, PlayCase, make_played, playing


def secret(decision: Decision, name: str) -> dict[str, str]:
    manifest: Any = next(
        c.manifest
        for c in decision.children
        if (c.manifest["kind"], c.manifest["metadata"]["name"]) == ("Secret", name)
    )
    return {key: b64decode(value).decode() for key, value in manifest["data"].items()}


def config(case: PlayCase, role: str = "play") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap", role)["data"]["config.json"])
    return found


def pod_spec(case: PlayCase) -> Any:
    return case.child("Deployment", "play")["spec"]["template"]["spec"]


# --------------------------------------------------------------------------- keys


def test_a_signing_key_is_made_once_and_then_belongs_to_the_user() -> None:
    case = make_played()
    assert case.last is not None
    assert secret(case.last, "a-playback") == {"key": "9" * 64}
    decision = case.signing_key("theirs", "former").decide()
    assert secret(decision, "a-playback") == {"key": "theirs", "previousKey": "former"}
    [child] = [c for c in decision.children if c.manifest["metadata"]["name"] == "a-playback"]
    assert child.over_version == "77"
    assert secret(case.signing_key(None, "former").decide(), "a-playback") == {
        "key": "9" * 64,
        "previousKey": "former",
    }
    assert secret(case.signing_key("theirs").decide(), "a-playback") == {"key": "theirs"}, (
        "a former key that the user removed does not come back"
    )


def test_a_rotation_moves_the_key_once_and_tells_the_pods() -> None:
    case = playing(replicas=2).annotated(rotate_playback_key="1")
    decision = case.decide()
    assert secret(decision, "a-playback") == {"key": "9" * 64, "previousKey": "s3cret"}
    nudges = {n.pod_name: n.value for n in decision.pod_config_hashes}
    assert nudges.keys() == {"play-1", "play-2"}
    case.signing_key("9" * 64, "s3cret", "1")
    for name, value in nudges.items():
        case.play_pod(name, config_annotation=value)
    again = case.decide()
    assert secret(again, "a-playback") == {"key": "9" * 64, "previousKey": "s3cret"}
    assert again.pod_config_hashes == ()


def test_the_publishers_rotation_does_not_touch_the_signing_key() -> None:
    decision = playing().annotated(rotate_key="1").decide()
    assert secret(decision, "a-playback") == {"key": "s3cret"}


def test_the_edges_token_is_derived_from_its_key_for_one_stream() -> None:
    want = hmac.new(b"the-key", b"show/a", hashlib.sha256).hexdigest()
    assert edge_token("the-key", "show", "a") == want
    assert secret(playing().decide(), "a-edge") == {"token": "7" * 64}


def test_no_key_is_in_configuration_template_or_status() -> None:
    case = playing()
    for key in ("s3cret", "9" * 64, "7" * 64, "b" * 32):
        assert key not in json.dumps([case.child("ConfigMap", "play"), pod_spec(case)])
        assert key not in json.dumps(case.status)
        assert key not in repr(case.facts["playback"])


# --------------------------------------------------------------------------- configuration


def test_the_pods_get_the_whole_spec() -> None:
    case = playing(
        replicas=2,
        dvrSeconds=3600,
        hls={"endList": False},
        hlsMpegts={"enabled": True, "endList": True},
        access="Signed",
        screenshot={"intervalSeconds": 5, "keepLast": True},
        projection="VR180",
    )
    found = config(case)
    assert found.pop("hash")
    assert found == {
        "namespace": "show",
        "name": "a",
        "uid": "uid-a",
        "generation": 1,
        "stream": {
            "name": "a",
            "uid": "uid-a",
            "title": "Morning show",
            "host": "a-ingest.show.svc.cluster.local.",
            "resumeWindowSeconds": 10,
        },
        "siblings": "a-play.show.svc.cluster.local.",
        "dvrSeconds": 3600,
        "spoolLimitBytes": 3_660_788_531,
        "hls": True,
        "hlsEndList": False,
        "dash": True,
        "dashEndList": True,
        "hlsMpegts": True,
        "hlsMpegtsEndList": True,
        "signed": True,
        "screenshotSeconds": 5,
        "keepLastScreenshot": True,
        "projection": "VR180",
        "edgeUrl": "http://sluice-edge.sluice-system.svc.cluster.local:8080/show/a",
    }


def test_a_single_pod_has_no_siblings() -> None:
    assert config(playing())["siblings"] == ""


def test_the_hub_cuts_segments_of_the_wanted_duration() -> None:
    case = playing(segmentSeconds=4)
    assert config(case, "ingest")["segmentSeconds"] == 4
    case.without_playback().decide()
    assert config(case, "ingest")["segmentSeconds"] == 2


def test_the_service_is_headless_and_has_ready_pods_only() -> None:
    spec = playing().child("Service", "play")["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", False)
    assert [port["port"] for port in spec["ports"]] == [9300]
    assert spec["selector"] == {"sluice.video/role": "play", "sluice.video/uid": "uid-a"}


@pytest.mark.parametrize(("dvr", "want"), [(0, "136Mi"), (7200, "8719Mi"), (14_400, "17302Mi")])
def test_the_pods_ask_for_disk_for_their_window(dvr: int, want: str) -> None:
    case = playing(dvrSeconds=dvr)
    [container] = pod_spec(case)["containers"]
    assert container["resources"]["requests"]["ephemeral-storage"] == want
    [spool] = [v for v in pod_spec(case)["volumes"] if v["name"] == "spool"]
    assert spool["emptyDir"] == {}, "a pod that exceeds a limit would be evicted on air"


@pytest.mark.parametrize(
    ("resources", "want_mebibytes"),
    [
        ({}, 204),
        ({"requests": {"ephemeral-storage": "1064Mi"}}, 800),
        ({"limits": {"ephemeral-storage": "164Mi"}}, 80),
        ({"limits": {"ephemeral-storage": "1064Mi"}}, 204),
        ({"requests": {"ephemeral-storage": "10Mi"}}, 0),
    ],
    ids=["the window's", "a user's", "a lower limit", "a higher limit", "hardly any"],
)
def test_the_window_stays_within_the_disk_that_the_pods_ask_for(
    resources: dict[str, Any], want_mebibytes: int
) -> None:
    case = playing(dvrSeconds=154, workload={"resources": resources})
    assert config(case)["spoolLimitBytes"] // (1 << 20) == want_mebibytes


def test_the_placement_is_the_streams_unless_playback_has_its_own() -> None:
    case = make_played()
    case.spec(
        workload={
            "resources": {"requests": {"cpu": "2"}},
            "nodeSelector": {"media": "yes"},
            "priorityClassName": "on-air",
        }
    ).playback(workload={"nodeSelector": {"disk": "fast"}}).decide()
    found = pod_spec(case)
    assert found["nodeSelector"] == {"disk": "fast"}
    assert found["priorityClassName"] == "on-air"
    assert found["containers"][0]["resources"]["requests"]["cpu"] == "20m", (
        "the resources of the ingest pod are not those of play pods"
    )
    case.playback(workload={"resources": {"requests": {"cpu": "1"}}}).decide()
    assert pod_spec(case)["containers"][0]["resources"]["requests"]["cpu"] == "1"


def test_the_pods_prefer_different_nodes() -> None:
    [spread] = pod_spec(playing())["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert "matchLabelKeys" in spread


# --------------------------------------------------------------------------- rollout


def rollout_of(case: PlayCase) -> tuple[bool, int, str]:
    spec = case.child("Deployment", "play")["spec"]
    return spec["paused"], spec["replicas"], case.word("UpdatePending")


def test_a_single_pod_is_not_replaced_while_it_serves() -> None:
    case = playing().settings(media_image="sluice-media:2")
    case.pod().on_air(timeline=SESSION)
    case.decide()
    assert rollout_of(case) == (True, 1, "True/WaitingForIdle")
    case.finished(0, 60).plays().decide()
    assert case.child("Deployment", "play")["spec"]["paused"] is False


def test_several_pods_are_replaced_one_after_the_other_on_air() -> None:
    case = playing(replicas=2)
    before = case.play_template()
    case.playback(dvrSeconds=600).decide()
    assert case.play_template() != before
    assert rollout_of(case) == (False, 2, "False/RollingOut")
    spec = case.child("Deployment", "play")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["minReadySeconds"] == 10
    assert case.child("Deployment", "ingest")["spec"]["paused"] is False


def test_with_immediate_updates_a_single_pod_is_replaced_at_once() -> None:
    case = playing().spec(updatePolicy="Immediate").settings(media_image="sluice-media:2")
    case.decide()
    assert rollout_of(case)[0] is False


def test_the_number_of_pods_changes_on_air_without_a_new_template() -> None:
    case = playing()
    before = case.play_template()
    case.playback(replicas=3).decide()
    assert case.play_template() == before
    assert rollout_of(case)[1] == 3
    assert config(case)["siblings"]


def test_a_changed_configuration_reaches_each_pod_at_once() -> None:
    case = playing(replicas=2)
    decision = case.playback(projection="VR360").decide()
    nudges = {n.pod_name: n.value for n in decision.pod_config_hashes if n.pod_name != "pod-1"}
    assert nudges == dict.fromkeys(["play-1", "play-2"], config(case)["hash"])


# --------------------------------------------------------------------------- protection


def test_pods_that_serve_keep_their_nodes() -> None:
    case = playing(replicas=2)
    case.plays("play-2")
    decision = case.decide()
    kept = {c.pod_name: c.values for c in decision.pod_annotations if c.pod_name != "pod-1"}
    assert kept == {"play-1": KEEP_POD_ANNOTATIONS}
    case.play_pod("play-1", kept=True).plays("play-1")
    removed = [c for c in case.decide().pod_annotations if c.pod_name == "play-1"]
    assert [c.values for c in removed] == [dict.fromkeys(KEEP_POD_ANNOTATIONS)]


def test_a_drain_may_evict_one_of_several_at_a_time() -> None:
    case = playing(replicas=2)
    budget = case.child("PodDisruptionBudget", "play")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"]["matchLabels"]["sluice.video/role"] == "play"
    decision = case.playback(replicas=1).decide()
    assert [(d.kind, d.name) for d in decision.deletions] == [("PodDisruptionBudget", "a-play")]
    assert case.child("PodDisruptionBudget", "play") is None


def test_a_foreign_budget_is_left_alone() -> None:
    case = playing(replicas=2).conflict("PodDisruptionBudget", "play")
    decision = case.decide()
    budgets = [c for c in decision.children if c.manifest["kind"] == "PodDisruptionBudget"]
    assert [c.manifest["metadata"]["name"] for c in budgets] == ["a-ingest"]
    assert case.ready_word == "True/Serving"
    assert case.word("Ready") == "True/Configured"


# --------------------------------------------------------------------------- the end


def test_without_playback_its_children_go_and_the_deployment_goes_last() -> None:
    case = playing(replicas=2)
    case.pod().on_air(timeline=SESSION)
    decision = case.without_playback().decide()
    gone = [(d.kind, d.name) for d in decision.deletions]
    assert gone[-1] == ("Deployment", "a-play"), "it is watched, so it shows that others are left"
    assert set(gone) == {
        ("PodDisruptionBudget", "a-play"),
        ("Secret", "a-edge"),
        ("Secret", "a-playback"),
        ("ConfigMap", "a-play"),
        ("Service", "a-play"),
        ("Deployment", "a-play"),
    }
    assert case.condition("PlaybackReady") is None
    assert "playback" not in case.status
    assert case.child("Deployment", "ingest") is not None
    assert case.decide().deletions == ()
