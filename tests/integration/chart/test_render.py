"""What the chart makes of its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice_media.gateway.settings import GatewaySettings
from sluice_media.whip.settings import WhipSettings
from sluice_operator.domain.observed import DefaultBucket, DomainSettings, PublicPorts
from sluice_operator.settings import DENIED_RANGES, Settings
from tests.kube.paths import REPOSITORY
from tests.support.helm import (
    CHART,
    VALUES_FILES,
    Helm,
    Object,
    environment,
    one,
    pod_specs,
    read_settings,
)

CRDS = sorted((REPOSITORY / "crds").glob("*.yaml"))


def crds_of(objects: list[Object]) -> list[Object]:
    return [o for o in objects if o["kind"] == "CustomResourceDefinition"]


@pytest.mark.parametrize("file", [None, *VALUES_FILES], ids=lambda f: f.stem if f else "defaults")
def test_lints_strictly(helm: Helm, file: Path | None) -> None:
    values = [f"--values={file}"] if file else []
    done = helm("lint", "--strict", str(CHART), *values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", VALUES_FILES, ids=lambda f: f.stem)
def test_every_object_is_named_and_labelled_and_there_once(helm: Helm, file: Path) -> None:
    objects = helm.template(file)
    identities = [
        (o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in objects
    ]
    assert len(set(identities)) == len(identities)
    for document in objects:
        if document["kind"] == "CustomResourceDefinition":
            continue
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "sluice"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        cluster_wide = document["kind"].startswith("ClusterRole")
        assert ("namespace" in document["metadata"]) is not cluster_wide


def test_selectors_find_the_pods_they_are_for(helm: Helm) -> None:
    for document in (objects := helm.template(values={"gateway": {"publicHost": "h"}})):
        spec = document.get("spec", {})
        if document["kind"] == "Deployment":
            labels = spec["template"]["metadata"]["labels"]
            assert spec["selector"]["matchLabels"].items() <= labels.items()
    names = ("sluice-gateway", "sluice-whip", "sluice-edge", "sluice-operator")
    labels = {
        name: one(objects, "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        for name in names
    }
    for service, pods in (
        ("sluice-gateway", "sluice-gateway"),
        ("sluice-gateway-srt", "sluice-gateway"),
        ("sluice-whip", "sluice-whip"),
        ("sluice-whip-media", "sluice-whip"),
        ("sluice-edge", "sluice-edge"),
    ):
        selector = one(objects, "Service", service)["spec"]["selector"]
        assert [n for n in names if selector.items() <= labels[n].items()] == [pods]
    for name in names:
        policy = one(objects, "NetworkPolicy", name)["spec"]
        assert policy["podSelector"]["matchLabels"].items() <= labels[name].items()
        assert policy["policyTypes"] == ["Ingress", "Egress"]


def test_a_new_chart_version_alone_replaces_no_gateway(helm: Helm) -> None:
    template = one(helm.template(), "Deployment", "sluice-gateway")["spec"]["template"]
    assert "helm.sh/chart" not in template["metadata"]["labels"]
    assert "app.kubernetes.io/version" not in template["metadata"]["labels"]


def test_the_gateway_is_replaced_without_cutting_a_publisher(helm: Helm) -> None:
    spec = one(helm.template(), "Deployment", "sluice-gateway")["spec"]
    rolling = {"maxSurge": "100%", "maxUnavailable": 0}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 3600


def test_no_autoscaler_removes_the_node_of_a_gateway_unless_told_to(helm: Helm) -> None:
    evict, disrupt = "cluster-autoscaler.kubernetes.io/safe-to-evict", "karpenter.sh/do-not-disrupt"
    values = {
        "gateway": {"publicHost": "h", "podAnnotations": {evict: "true", "a": "b"}},
    }
    objects = helm.template(values=values)

    def annotations(name: str) -> Object:
        template = one(objects, "Deployment", name)["spec"]["template"]
        return dict(template["metadata"].get("annotations") or {})

    assert annotations("sluice-gateway") == {evict: "true", disrupt: "true", "a": "b"}
    assert annotations("sluice-whip") == {evict: "false", disrupt: "true"}
    assert not {evict, disrupt} & annotations("sluice-operator").keys()


def test_crds_are_the_generated_ones_and_survive_an_uninstall(helm: Helm) -> None:
    rendered = {crd["metadata"]["name"]: crd for crd in crds_of(helm.template())}
    generated = [yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader) for file in CRDS]
    assert generated, "crds/ is empty: run `make crds`"
    assert set(rendered) == {crd["metadata"]["name"] for crd in generated}
    for crd in generated:
        found = rendered[crd["metadata"]["name"]]
        assert found["spec"] == crd["spec"]
        assert found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_crds_can_go_with_the_release_or_stay_out_of_it(helm: Helm) -> None:
    for crd in crds_of(helm.template(values={"crds": {"keep": False}})):
        assert "helm.sh/resource-policy" not in crd["metadata"].get("annotations", {})
    assert not crds_of(helm.template(values={"crds": {"enabled": False}}))


def test_images_by_tag_and_by_digest(helm: Helm) -> None:
    app_version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    [defaults] = [s for n, s in pod_specs(helm.template()) if n == "sluice-gateway"]
    assert defaults["containers"][0]["image"] == f"sluice/media:{app_version}"
    digest = "sha256:" + "a" * 64
    image = {"repository": "r.example/media", "tag": "9", "digest": digest}
    objects = helm.template(values={"media": {"image": image}})
    [spec] = [s for n, s in pod_specs(objects) if n == "sluice-gateway"]
    assert spec["containers"][0]["image"] == f"r.example/media@{digest}"
    assert environment(objects, "sluice-operator")["SLUICE_MEDIA_IMAGE"].endswith(digest)


def test_the_operator_understands_its_environment(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable is a setting of the operator, and arrives as it was meant."""
    [file] = [file for file in VALUES_FILES if file.stem == "everything-values"]
    given = environment(helm.template(file), "broadcast-operator")
    assert set(given) - {"POD_UID"} <= {f"SLUICE_{name.upper()}" for name in Settings.model_fields}
    settings = read_settings(Settings, given, monkeypatch)
    assert settings.watch_namespaces == ("default", "kube-public")
    assert settings.lease_name == "broadcast-operator"
    assert settings.observe_mode == "proxy"
    assert settings.image_pull_secrets == ("registry", "mirror")
    assert settings.gateway_service == "broadcast-gateway"
    domain = settings.domain()
    assert domain.media_image == "registry.example/sluice/media:7"
    assert domain.default_store is not None
    assert domain.default_store.size == "1Ti"
    assert domain.default_store.storage_class_name == "fast"
    assert domain.default_store.limit == "2Ti"
    assert domain.default_store.bucket == DefaultBucket(
        "tapes", "recorder", "https://s3.example", "eu-west-1", "live", path_style=False
    )
    assert domain.recorder_spool_bytes == 2 << 30
    assert domain.ingest_spool_bytes == 8 << 30
    assert domain.store_scratch_bytes == 16 << 30
    assert domain.store_priority_class == "background"
    assert settings.gateway_srt_service == "broadcast-gateway-srt"
    assert settings.edge_key_secret == settings.edge_service == "broadcast-edge"
    assert (settings.edge_service_port, settings.edge_public_port) == (8000, 8888)
    assert settings.edge_public_url == "https://watch.example.org"
    assert settings.edge_public_host == "192.0.2.13"
    assert (domain.gateway_public_host, domain.whip_public_host) == ("192.0.2.10", "192.0.2.11")
    assert domain.gateway_public_srt_host == "srt.example.org"
    assert domain.gateway_public_ports == PublicPorts(rtmp=1936, srt=9999)
    assert domain.whip_public_url == "https://live.example.org"
    assert domain.denied_ranges == (
        *("169.254.0.0/16", "10.244.0.0/16", "10.96.0.0/16", "2001:db8::/64"),
    )
    assert domain.allowed_ranges == ("192.168.20.0/24",)
    assert domain.allowed_names == ("broadcast-gateway.default.svc.cluster.local",)
    assert domain.pod_trouble_seconds == 600
    ingest = {"requests": {"cpu": "200m"}, "limits": {"memory": "2Gi"}}
    assert domain.resources["ingest"] == ingest
    play = {"requests": {"ephemeral-storage": "20Gi"}, "limits": {"memory": "1Gi"}}
    assert domain.resources["play"] == play
    assert "push" in domain.resources, "a role that is not named has its default"


def test_ranges_that_are_refused_have_one_default(helm: Helm) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert tuple(values["network"]["deniedRanges"]) == DENIED_RANGES


def test_no_range_may_be_refused_on_purpose(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment(helm.template(values={"network": {"deniedRanges": []}}), "sluice-operator")
    assert read_settings(Settings, given, monkeypatch).domain().denied_ranges == ()


def test_the_default_mediastore_can_be_switched_off(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = helm.template(values={"defaultMediaStore": {"enabled": False}})
    given = environment(objects, "sluice-operator")
    assert read_settings(Settings, given, monkeypatch).domain().default_store is None


def test_disks_have_one_default(helm: Helm, monkeypatch: pytest.MonkeyPatch) -> None:
    given = environment(helm.template(), "sluice-operator")
    domain = read_settings(Settings, given, monkeypatch).domain()
    plain = DomainSettings(media_image="x")
    assert domain.recorder_spool_bytes == plain.recorder_spool_bytes
    assert domain.ingest_spool_bytes == plain.ingest_spool_bytes
    assert domain.store_scratch_bytes == plain.store_scratch_bytes
    assert domain.default_store == plain.default_store, "a claim"


def test_the_gateway_understands_its_environment(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"clusterDomain": "c.example", "gateway": {"terminationGracePeriodSeconds": 60}}
    given = environment(helm.template(values=values), "sluice-gateway")
    fields = {*GatewaySettings.model_fields, "srt_port"}
    assert set(given) - {"POD_UID"} <= {f"SLUICE_{name.upper()}" for name in fields}
    settings = read_settings(GatewaySettings, given, monkeypatch)
    assert settings.cluster_domain == "c.example"
    assert settings.grace_seconds == 50, "it leaves before the kubelet kills it"
    assert settings.max_failures == 10


@pytest.mark.parametrize(
    ("service", "policy", "limit"),
    [
        ({"type": "LoadBalancer"}, "Local", "10"),
        ({"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}, "Cluster", "0"),
        ({"type": "NodePort"}, "Cluster", "0"),
        ({"type": "NodePort", "externalTrafficPolicy": "Local"}, "Local", "10"),
        ({"type": "ClusterIP"}, None, "10"),
    ],
)
def test_limits_by_address_only_where_addresses_are_seen(
    helm: Helm, service: dict[str, Any], policy: str | None, limit: str
) -> None:
    """Under Cluster every publisher seems to come from a node: one of them with a wrong key would
    lock all others out."""
    policies = {k: v for k, v in service.items() if k == "externalTrafficPolicy"}
    values = {
        "gateway": {"publicHost": "h", "service": service},
        "whip": {"service": policies},
    }
    objects = helm.template(values=values)
    spec = one(objects, "Service", "sluice-gateway")["spec"]
    assert spec.get("externalTrafficPolicy") == policy
    for deployment in ("sluice-gateway", "sluice-whip"):
        given = environment(objects, deployment)
        assert given["SLUICE_MAX_FAILURES"] == limit
        assert (given["SLUICE_MAX_CONNECTIONS_PER_ADDRESS"] == "0") is (limit == "0")


def test_what_the_gateway_keeps_follows_from_its_memory_limit(helm: Helm) -> None:
    objects = helm.template()
    pod = one(objects, "Deployment", "sluice-gateway")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [entry] = [e for e in container["env"] if e["name"] == "SLUICE_MEMORY_LIMIT_BYTES"]
    assert entry["valueFrom"] == {"resourceFieldRef": {"resource": "limits.memory"}}
    assert container["resources"]["limits"]["memory"] == "1Gi"
    assert GatewaySettings().memory_limit_bytes == 1 << 30
    unlimited = helm.template(values={"gateway": {"resources": {"limits": None}}})
    assert "SLUICE_MEMORY_LIMIT_BYTES" not in environment(unlimited, "sluice-gateway")


def test_behind_trusted_proxies_whip_sees_addresses_whatever_the_policy(
    helm: Helm, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = {"type": "NodePort", "externalTrafficPolicy": "Cluster"}
    values = {
        "gateway": {"publicHost": "h", "service": service},
        "whip": {"trustedProxies": ["10.244.0.0/16", "fd00::/8"]},
    }
    objects = helm.template(values=values)
    given = environment(objects, "sluice-whip")
    assert given["SLUICE_MAX_FAILURES"] == "10"
    assert given["SLUICE_MAX_CONNECTIONS_PER_ADDRESS"] == "5"
    settings = read_settings(WhipSettings, given, monkeypatch)
    assert [str(proxy) for proxy in settings.trusted_proxies] == ["10.244.0.0/16", "fd00::/8"]
    assert environment(objects, "sluice-gateway")["SLUICE_MAX_FAILURES"] == "0"


def test_the_operator_looks_for_the_ranges_that_nobody_names(helm: Helm) -> None:
    """Rendering gives the same with and without a cluster: no range is looked up by Helm."""

    def rights(values: Object) -> list[str]:
        roles = [o for o in helm.template(values=values) if o["kind"] == "ClusterRole"]
        rules = [r for role in roles for r in role["rules"] if "nodes" in r["resources"]]
        rules += [r for role in roles for r in role["rules"] if "servicecidrs" in r["resources"]]
        return [f"{verb} {r['resources'][0]}" for r in rules for verb in r["verbs"]]

    named = {"network": {"clusterRanges": ["10.0.0.0/8"]}}
    assert rights({}) == ["get nodes", "list nodes", "get servicecidrs", "list servicecidrs"]
    assert rights(named) == []
    assert "SLUICE_NETWORK_CLUSTER_RANGES" not in environment(helm.template(), "sluice-operator")
    given = environment(helm.template(values=named), "sluice-operator")
    assert given["SLUICE_NETWORK_CLUSTER_RANGES"] == "10.0.0.0/8"
    templates = "".join(f.read_text("utf-8") for f in (CHART / "templates").rglob("*.*"))
    assert "lookup" not in templates


def test_whip_is_one_pod_and_never_two_that_take_offers(helm: Helm) -> None:
    spec = one(helm.template(values={"gateway": {"publicHost": "h"}}), "Deployment", "sluice-whip")
    assert spec["spec"]["replicas"] == 1
    rolling = {"maxSurge": 0, "maxUnavailable": 1}
    assert spec["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert spec["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= 3600


def test_some_namespaces_only(helm: Helm) -> None:
    values = {"operator": {"watchNamespaces": ["sports", "news"]}}
    objects = helm.template(values=values)
    wide = {o["roleRef"]["name"] for o in objects if o["kind"] == "ClusterRoleBinding"}
    assert wide == {"sluice-operator-ranges"}, "nodes and ServiceCIDRs belong to no namespace"
    named = helm.template(values=values | {"network": {"clusterRanges": ["10.0.0.0/8"]}})
    assert not [o for o in named if o["kind"] == "ClusterRoleBinding"]
    bound = {
        o["metadata"]["namespace"]
        for o in objects
        if o["kind"] == "RoleBinding" and o["roleRef"]["kind"] == "ClusterRole"
    }
    assert bound == {"sports", "news"}


def test_the_notes_say_what_to_do_next(helm: Helm) -> None:
    done = helm("install", "sluice", str(CHART), "--dry-run=client", "--namespace=tv")
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "WHIP (WebRTC) is not installed" in notes
    for expected in ("kubectl -n tv", "my-stream-ingest", "rtmpServer", "streamKey", "EXTERNAL-IP"):
        assert expected in notes
