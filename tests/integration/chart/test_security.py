"""Least privilege, read off the rendered objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.helm import VALUES_FILES, Helm, Object, pod_specs

EVERY_VALUES_FILE = pytest.mark.parametrize("file", VALUES_FILES, ids=lambda f: f.stem)
MEDIA_IDENTITY = 65532


def operator_rules(objects: list[Object]) -> Iterator[Object]:
    for document in objects:
        if document["kind"] in {"Role", "ClusterRole"} and "-operator" in str(document["metadata"]):
            yield from document["rules"]


@EVERY_VALUES_FILE
def test_every_pod_is_restricted(helm: Helm, file: Path) -> None:
    """Pod Security Standards, level restricted, and beyond it a read-only root."""
    specs = list(pod_specs(helm.template(file)))
    assert {name.partition("-")[2] for name, _ in specs} >= {"operator", "gateway"}
    for name, spec in specs:
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["runAsUser"] == pod["runAsGroup"] == MEDIA_IDENTITY, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys(), name
        # The gateway's certificate and the edge's key are the only things that are mounted.
        mounts = name.endswith(("-gateway", "-edge"))
        kinds = {"emptyDir", "secret"} if mounts else {"emptyDir"}
        assert all(volume.keys() - {"name"} <= kinds for volume in spec["volumes"]), name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
            assert {"livenessProbe", "readinessProbe"} <= container.keys(), name
            assert not any("hostPort" in port for port in container["ports"]), name


@pytest.mark.parametrize("deployment", ["sluice-gateway", "sluice-whip", "sluice-edge"])
def test_who_faces_the_public_has_no_way_to_the_api(helm: Helm, deployment: str) -> None:
    objects = helm.template(values={"gateway": {"publicHost": "h"}})
    [spec] = [spec for name, spec in pod_specs(objects) if name == deployment]
    assert spec["automountServiceAccountToken"] is False
    bound = [s["name"] for o in objects if o["kind"].endswith("Binding") for s in o["subjects"]]
    assert set(bound) == {"sluice-operator"}


@EVERY_VALUES_FILE
def test_no_rule_has_a_wildcard(helm: Helm, file: Path) -> None:
    for document in helm.template(file):
        for rule in document.get("rules", []):
            for field in ("apiGroups", "resources", "verbs", "nonResourceURLs"):
                assert not any("*" in value for value in rule.get(field, [])), rule


@EVERY_VALUES_FILE
def test_secrets_are_reached_by_name_only(helm: Helm, file: Path) -> None:
    """Whoever may list Secrets has every key of the cluster."""
    rules = [r for r in operator_rules(helm.template(file)) if "secrets" in r["resources"]]
    assert rules
    for rule in rules:
        assert rule["resources"] == ["secrets"], "a rule of its own, so that it is seen"
        assert set(rule["verbs"]) <= {"get", "create", "patch", "delete"}


def test_the_operator_cannot_raise_its_own_rights(helm: Helm) -> None:
    forbidden = {"escalate", "bind", "impersonate"}
    for rule in operator_rules(helm.template()):
        assert not forbidden & set(rule["verbs"])
        assert not {"roles", "clusterroles", "serviceaccounts/token"} & set(rule["resources"])
        assert not {"pods/exec", "pods/attach", "pods/portforward"} & set(rule["resources"])


def test_the_operator_never_deletes_what_it_must_not(helm: Helm) -> None:
    """Recordings, and the claims that hold them, outlive every mistake of ours."""
    for rule in operator_rules(helm.template()):
        deletes = {"delete", "deletecollection"} & set(rule["verbs"])
        if deletes:
            assert "deletecollection" not in deletes
            assert not {"recordings", "livestreams", "restreams", "mediastores"} & set(
                rule["resources"]
            )
            assert "persistentvolumeclaims" not in rule["resources"]


@EVERY_VALUES_FILE
def test_the_operator_may_delete_what_it_deletes_and_nothing_else(helm: Helm, file: Path) -> None:
    """The children of a recorder that has done its work, and those of a removed playback; by the
    proxy, a store's recordings."""
    deletes = {
        resource
        for rule in operator_rules(helm.template(file))
        if "delete" in rule["verbs"]
        for resource in rule["resources"]
    }
    recorder, playback = {"jobs", "configmaps", "secrets"}, {"deployments", "services"}
    assert deletes - {"pods/proxy"} == recorder | playback | {"poddisruptionbudgets"}


def test_in_its_own_namespace_the_operator_reads_services_by_name_and_events(helm: Helm) -> None:
    def services(values: Object) -> list[str]:
        [role] = [o for o in helm.template(values=values) if o["kind"] == "Role"]
        [rule] = [r for r in role["rules"] if r["resources"] == ["services"]]
        assert rule["verbs"] == ["get"]
        [events] = [r for r in role["rules"] if r["resources"] == ["events"]]
        assert events["verbs"] == ["list"]
        names: list[str] = rule["resourceNames"]
        return names

    gateway, edge = ["sluice-gateway", "sluice-gateway-srt"], ["sluice-edge"]
    assert services({"gateway": {"publicHost": "h"}}) == [*gateway, "sluice-whip", *edge]
    assert services({"whip": {"enabled": False}}) == gateway + edge
    assert services({"gateway": {"srt": {"enabled": False}}}) == ["sluice-gateway", *edge]
    assert services({"edge": {"enabled": False}}) == gateway


def test_the_operator_keeps_pods_on_air_where_they_are(helm: Helm) -> None:
    rules = [r for r in operator_rules(helm.template()) if r["apiGroups"] == ["policy"]]
    assert [r["resources"] for r in rules] == [["poddisruptionbudgets"]]
    assert set(rules[0]["verbs"]) == {"get", "list", "watch", "create", "patch", "delete"}


def test_the_pod_proxy_is_allowed_only_where_it_is_used(helm: Helm) -> None:
    def proxies(mode: str) -> bool:
        rules = operator_rules(helm.template(values={"operator": {"observeMode": mode}}))
        return any("pods/proxy" in rule["resources"] for rule in rules)

    assert proxies("Proxy")
    assert not proxies("Direct")


def test_people_get_our_kinds_with_view_and_edit(helm: Helm) -> None:
    roles = {o["metadata"]["name"]: o for o in helm.template() if o["kind"] == "ClusterRole"}
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    view, edit = roles["sluice-view"], roles["sluice-edit"]
    assert view["metadata"]["labels"][aggregate + "view"] == "true"
    assert edit["metadata"]["labels"][aggregate + "edit"] == "true"
    for rule in view["rules"]:
        assert set(rule["verbs"]) == {"get", "list", "watch"}
    for role in (view, edit):
        for rule in role["rules"]:
            assert rule["apiGroups"] == ["sluice.video"]
            assert not any("/" in resource for resource in rule["resources"])


def test_the_operators_egress_is_narrowed_by_the_api_servers_address(helm: Helm) -> None:
    def peers(values: Object) -> list[Object]:
        [policy] = [
            o
            for o in helm.template(values=values)
            if o["kind"] == "NetworkPolicy" and o["metadata"]["name"] == "sluice-operator"
        ]
        return [e for e in policy["spec"]["egress"] if any("endPort" in p for p in e["ports"])]

    [anywhere] = peers({})
    assert "to" not in anywhere
    [narrowed] = peers({"apiServerCIDR": "192.0.2.1/32"})
    assert narrowed["to"] == [{"ipBlock": {"cidr": "192.0.2.1/32"}}]
