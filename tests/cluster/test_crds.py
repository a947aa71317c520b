"""What the API server makes of the CustomResourceDefinitions: which objects it refuses, and with
which sentence. Needs a cluster with the definitions installed, but none of Sluice's pods."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.cluster.crd_accepted import CHANGES, VALID
from tests.cluster.crd_refused import REFUSED
from tests.cluster.crd_refused_streams import REFUSED_STREAMS
from tests.cluster.crd_specs import CLAIM, PULLED, RTMP, STREAM, Change, Invalid, Valid, pull
from tests.support.cluster import REPOSITORY, Cluster
from tests.support.kubectl import Kubectl, KubectlError
from tests.support.namespaces import own_namespace

CRDS = sorted((REPOSITORY / "crds").glob("*.yaml"))
SERVER_SIDE = ("apply", "--server-side", "--force-conflicts")
NO_PODS = {
    "apiVersion": "v1",
    "kind": "ResourceQuota",
    "metadata": {"name": "no-pods"},
    "spec": {"hard": {"pods": "0"}},
}


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[Kubectl]:
    """kubectl in a namespace of these tests, with the definitions of this checkout installed."""
    kubectl = cluster.kubectl
    kubectl(*SERVER_SIDE, "--field-manager=helm", *(f"--filename={path}" for path in CRDS))
    for path in CRDS:
        kubectl.wait_condition("crd", path.stem, "Established", seconds=30)
    with own_namespace(kubectl, "crds") as inside:
        # The installed operator works on these objects too. Nobody looks at their pods.
        inside.create(NO_PODS)
        yield inside


def manifest(kind: str, name: str, spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sluice.video/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def refusal(api: Kubectl, obj: dict[str, Any]) -> str:
    """What the API server says to the new object; empty when it would take it."""
    try:
        api.create(obj, dry_run=True)
    except KubectlError as error:
        return str(error)
    return ""


def refusal_of_change(api: Kubectl, obj: dict[str, Any]) -> str:
    """The same for an object that is there; it is changed when nothing is wrong with it."""
    try:
        api.apply_on_server(obj)
    except KubectlError as error:
        return str(error)
    return ""


def test_the_definitions_are_taken_by_the_api_server_and_structural(api: Kubectl) -> None:
    files = [f"--filename={path}" for path in CRDS]
    taken = api(*SERVER_SIDE, "--dry-run=server", *files)
    assert taken.count("serverside-applied") == len(CRDS) == 4
    for path in CRDS:
        found = api.get("crd", path.stem)["status"]["conditions"]
        conditions = {c["type"]: c["status"] for c in found}
        assert conditions["NamesAccepted"] == "True", path.name
        assert conditions.get("NonStructuralSchema") is None, path.name


# --------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "case", [*REFUSED_STREAMS, *REFUSED], ids=lambda case: f"{case.kind}: {case.why}"
)
def test_an_invalid_object_is_refused_with_a_sentence(api: Kubectl, case: Invalid) -> None:
    obj = manifest(case.kind, case.name, case.spec)
    if case.spec is None:
        del obj["spec"]
    assert case.want in refusal(api, obj)


def test_a_uri_that_is_wrong_in_one_way_is_told_in_one_sentence(api: Kubectl) -> None:
    source = manifest("LiveStream", "a", pull({"uri": "rtsp://me:secret@h/x?y"}))
    assert refusal(api, source).count("uris[0].uri: Invalid value") == 1
    target = manifest("Restream", "a", STREAM | RTMP | {"uri": "srt://h:1?mode=listener"})
    assert refusal(api, target).count("spec.uri: Invalid value") == 1


# --------------------------------------------------------------------------- taken


@pytest.mark.parametrize("case", VALID, ids=lambda case: f"{case.kind}: {case.why}")
def test_a_valid_object_is_taken(api: Kubectl, case: Valid) -> None:
    assert refusal(api, manifest(case.kind, case.name, case.spec)) == ""


def test_defaults_are_filled_in(api: Kubectl) -> None:
    api.apply(manifest("LiveStream", "bare", {}))
    assert api.get("lvs", "bare")["spec"] == {
        "title": "",
        "active": True,
        "source": {
            "push": {
                "protocols": ["RTMP", "RTMPS", "SRT", "WHIP"],
                "backup": {"enabled": True},
            }
        },
        "failover": {"stallMilliseconds": 800, "failback": "Never", "failbackSeconds": 60},
        "resumeWindowSeconds": 10,
        "autoRecord": False,
        "updatePolicy": "WhenIdle",
    }


def test_defaults_of_a_recording_are_filled_in(api: Kubectl) -> None:
    api.apply(manifest("Recording", "bare", STREAM))
    assert api.get("rec", "bare")["spec"] == {
        **STREAM,
        "desiredState": "Recording",
        "startWhenLive": True,
        "rearmSeconds": 3600,
        "minimumSeconds": 10,
        "recordType": "Origin",
        "splitSeconds": 14_400,
        "retention": {"keepOriginal": False, "originalSeconds": 604_800},
        "deletionPolicy": "Retain",
    }


def test_defaults_of_a_pulled_stream_are_filled_in(api: Kubectl) -> None:
    api.apply(manifest("LiveStream", "pulled", pull(PULLED)))
    assert api.get("lvs", "pulled")["spec"]["source"] == {
        "pull": {
            "uris": [PULLED],
            "stallSeconds": 3,
            "retrySeconds": 3,
            "inactivitySeconds": 7200,
            "standby": "Cold",
        }
    }


def test_what_no_operator_has_looked_at_does_not_read_as_current(api: Kubectl) -> None:
    """The schemas are tried out on definitions of their own, which no operator serves."""
    group = "unserved.sluice.video"
    specs: dict[str, Any] = {
        "LiveStream": {},
        "Recording": STREAM,
        "Restream": STREAM | RTMP,
        "MediaStore": CLAIM,
    }
    definitions = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in CRDS]
    for crd in definitions:
        names = crd["spec"]["names"]
        crd["metadata"]["name"] = f"{names['plural']}.{group}"
        crd["spec"]["group"] = group
        names |= {"categories": [], "shortNames": []}
    created = [crd["metadata"]["name"] for crd in definitions]
    kinds = [crd["spec"]["names"]["kind"] for crd in definitions]
    assert set(kinds) == set(specs)
    later = {"apiVersion": f"{group}/v1alpha1", "status": {"observedGeneration": 1}}
    objects = [manifest(kind, "fresh", specs[kind]) | later for kind in kinds]
    api("create", "-f", "-", stdin=yaml.safe_dump_all(definitions))
    try:
        for name in created:
            api.wait_condition("crd", name, "Established", seconds=30)
        api("create", "-f", "-", stdin=yaml.safe_dump_all(objects))
        found = json.loads(api("get", *(f"{name}/fresh" for name in created), "-o", "json"))
        assert sorted(fresh["kind"] for fresh in found["items"]) == sorted(kinds)
        for fresh in found["items"]:
            assert fresh["metadata"]["generation"] == 1, fresh["kind"]
            assert fresh["status"] == {"observedGeneration": -1}, fresh["kind"]
    finally:
        api("delete", "crd", *created, "--timeout=60s")


# --------------------------------------------------------------------------- changed


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.kind}: {change.why}")
def test_what_may_be_changed_later(api: Kubectl, change: Change) -> None:
    name = f"change-{secrets.token_hex(3)}"
    api.apply_on_server(manifest(change.kind, name, change.before))
    said = refusal_of_change(api, manifest(change.kind, name, change.after))
    assert change.want in said
    assert bool(said) == bool(change.want)


# --------------------------------------------------------------------------- for people


def test_kubectl_explain_reads_like_documentation(api: Kubectl) -> None:
    text = api("explain", "livestream.spec.resumeWindowSeconds")
    assert "recordings continue in the same file" in " ".join(text.split())


def test_kubectl_get_has_our_columns_and_all_kinds_in_one_category(api: Kubectl) -> None:
    api.apply(
        manifest("LiveStream", "shown", {}),
        manifest("Recording", "shown", STREAM),
        manifest("Restream", "shown", STREAM | RTMP),
        manifest("MediaStore", "shown", CLAIM),
    )
    for short, columns in (
        ("lvs", "NAME READY LIVE SOURCE RECORDING RECORDING_DURATION RESTREAMS AGE"),
        ("rec", "NAME STREAM PHASE RECORDING_DURATION SIZE FILES AGE"),
        ("rst", "NAME STREAM TARGET LIVE STATE AGE"),
        ("mst", "NAME READY LOCATION USED LIMIT AGE"),
    ):
        assert api("get", short).splitlines()[0].split() == columns.split()
    listed = api("get", "sluice", "-o", "name").split()
    for kind in ("livestream", "recording", "restream", "mediastore"):
        assert f"{kind}.sluice.video/shown" in listed


def test_references_can_be_selected(api: Kubectl) -> None:
    api.apply(
        manifest("Recording", "of-one", {"streamRef": {"name": "one"}}),
        manifest("Recording", "of-two", {"streamRef": {"name": "two"}}),
    )
    found = api.list("recordings", "--field-selector=spec.streamRef.name=one")
    assert [item["metadata"]["name"] for item in found] == ["of-one"]
