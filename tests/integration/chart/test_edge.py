"""The edge: where viewers are sent, how its pods are replaced, and what it may reach."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.helm import Helm, Object, environment, one, pod_specs

INSIDE = "sluice-edge.sluice-system.svc.cluster.local"
ROUTE = {"enabled": True, "parentRefs": [{"name": "public", "sectionName": "https"}]}


def edge_pod(objects: list[Object]) -> Object:
    [pod] = [spec for name, spec in pod_specs(objects) if name.endswith("-edge")]
    return pod


@pytest.mark.parametrize(
    ("values", "kind", "url", "host", "port"),
    [
        pytest.param({}, "LoadBalancer", None, None, None, id="its own load balancer"),
        pytest.param(
            {"gateway": {"publicHost": "rtmp.example"}},
            "LoadBalancer",
            None,
            None,
            None,
            id="the gateway's name leads to the gateway's load balancer",
        ),
        pytest.param(
            {"edge": {"publicHost": "tv.example"}},
            "LoadBalancer",
            None,
            "tv.example",
            None,
            id="a name",
        ),
        pytest.param(
            {"gateway": {"publicHost": "192.0.2.1", "service": {"type": "NodePort"}}},
            "NodePort",
            None,
            "192.0.2.1",
            None,
            id="a node port",
        ),
        pytest.param(
            {
                "gateway": {"publicHost": "192.0.2.1", "service": {"type": "NodePort"}},
                "edge": {"publicHost": "192.0.2.2", "publicPorts": {"http": 8080}},
            },
            "NodePort",
            None,
            "192.0.2.2",
            "8080",
            id="mapped elsewhere",
        ),
        pytest.param(
            {"gateway": {"service": {"type": "ClusterIP"}}},
            "ClusterIP",
            None,
            INSIDE,
            "80",
            id="inside the cluster",
        ),
        pytest.param(
            {"edge": {"ingress": {"enabled": True, "host": "tv.example"}}},
            "ClusterIP",
            "http://tv.example",
            INSIDE,
            "80",
            id="an Ingress",
        ),
        pytest.param(
            {
                "edge": {
                    "ingress": {"enabled": True, "host": "tv.example", "tls": {"enabled": True}}
                }
            },
            "ClusterIP",
            "https://tv.example",
            INSIDE,
            "80",
            id="an Ingress with TLS",
        ),
        pytest.param(
            {"edge": {"httpRoute": ROUTE, "publicUrl": "https://tv.example/"}},
            "ClusterIP",
            "https://tv.example",
            INSIDE,
            "80",
            id="an HTTPRoute",
        ),
    ],
)
def test_where_viewers_are_sent(
    helm: Helm, values: Object, kind: str, url: str | None, host: str | None, port: str | None
) -> None:
    objects = helm.template(values=values)
    assert one(objects, "Service", "sluice-edge")["spec"]["type"] == kind
    given = environment(objects, "sluice-operator")
    assert given["SLUICE_EDGE_SERVICE"] == "sluice-edge"
    assert given["SLUICE_EDGE_SERVICE_PORT"] == "80"
    assert given.get("SLUICE_EDGE_PUBLIC_URL") == url
    assert given.get("SLUICE_EDGE_PUBLIC_HOST") == host
    assert given.get("SLUICE_EDGE_PUBLIC_PORT") == port


def test_switched_off_nothing_of_it_is_left(helm: Helm) -> None:
    objects = helm.template(values={"edge": {"enabled": False}})
    assert not [o for o in objects if "edge" in o["metadata"]["name"]]
    assert not [name for name in environment(objects, "sluice-operator") if "EDGE" in name]
    [role] = [o for o in objects if o["kind"] == "Role"]
    assert not [rule for rule in role["rules"] if "secrets" in rule["resources"]]


def test_an_ingress_leads_all_paths_of_its_host_to_the_edge(helm: Helm) -> None:
    ingress = {
        "enabled": True,
        "className": "public",
        "host": "tv.example",
        "annotations": {"a": "b"},
        "tls": {"enabled": True, "secretName": "tv-tls"},
    }
    found = one(helm.template(values={"edge": {"ingress": ingress}}), "Ingress", "sluice-edge")
    assert found["metadata"]["annotations"] == {"a": "b"}
    service = {"name": "sluice-edge", "port": {"name": "http"}}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": service}}
    assert found["spec"] == {
        "ingressClassName": "public",
        "tls": [{"hosts": ["tv.example"], "secretName": "tv-tls"}],
        "rules": [{"host": "tv.example", "http": {"paths": [path]}}],
    }


def test_a_route_leads_from_a_gateway_to_the_edge(helm: Helm) -> None:
    edge = {
        "httpRoute": ROUTE | {"hostnames": ["tv.example"]},
        "publicUrl": "https://tv.example",
        "service": {"ports": {"http": 8000}},
    }
    found = one(helm.template(values={"edge": edge}), "HTTPRoute", "sluice-edge")["spec"]
    assert found["parentRefs"] == ROUTE["parentRefs"]
    assert found["hostnames"] == ["tv.example"]
    [rule] = found["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"] == [{"name": "sluice-edge", "port": 8000}]


def test_a_rollout_is_not_seen_by_viewers(helm: Helm) -> None:
    spec = one(helm.template(), "Deployment", "sluice-edge")["spec"]
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    wait = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert wait >= 5
    assert pod["terminationGracePeriodSeconds"] >= wait + 10, "nginx ends by itself"
    labels = spec["template"]["metadata"]["labels"]
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


def test_only_several_pods_have_a_budget(helm: Helm) -> None:
    """A budget of a single pod would prevent every drain."""

    def budgets(replicas: int) -> list[Object]:
        objects = helm.template(values={"edge": {"replicas": replicas}})
        return [o for o in objects if o["kind"] == "PodDisruptionBudget"]

    assert budgets(1) == []
    [budget] = budgets(2)
    assert budget["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("size", "cache", "disk"), [("1Gi", "1024m", "1408Mi"), ("600Mi", "600m", "878Mi")]
)
def test_the_disk_has_room_for_the_cache_and_is_reserved(
    helm: Helm, size: str, cache: str, disk: str
) -> None:
    """The kubelet evicts a pod whose volume is larger than its limit."""
    objects = helm.template(values={"edge": {"cache": {"size": size}}})
    pod = edge_pod(objects)
    [container] = pod["containers"]
    assert environment(objects, "sluice-edge")["SLUICE_CACHE_MAX"] == cache
    [volume] = [v for v in pod["volumes"] if "emptyDir" in v]
    assert volume["emptyDir"] == {"sizeLimit": disk}
    assert container["resources"]["requests"]["ephemeral-storage"] == disk
    assert container["resources"]["limits"] == {"memory": "1Gi"}


def test_the_disk_request_may_be_set(helm: Helm) -> None:
    resources = {"requests": {"ephemeral-storage": "10Gi"}}
    [container] = edge_pod(helm.template(values={"edge": {"resources": resources}}))["containers"]
    assert container["resources"]["requests"] == {
        "cpu": "100m",
        "memory": "256Mi",
        "ephemeral-storage": "10Gi",
    }


def test_the_key_is_created_by_the_operator_and_mounted_by_the_edge(helm: Helm) -> None:
    values: dict[str, Any] = {"operator": {"watchNamespaces": ["tv"]}}
    objects = helm.template(values=values)
    name = environment(objects, "sluice-operator")["SLUICE_EDGE_KEY_SECRET"]
    [volume] = [v for v in edge_pod(objects)["volumes"] if "secret" in v]
    assert volume["secret"]["secretName"] == name
    assert "optional" not in volume["secret"], "the pod waits for its key"
    assert environment(objects, "sluice-edge")["SLUICE_EDGE_KEY_FILE"] == "/etc/sluice/edge/key"
    assert not [o for o in objects if o["kind"] == "Secret"], "an upgrade would replace the key"
    [role] = [o for o in objects if o["kind"] == "Role"]
    rules = [rule for rule in role["rules"] if rule["resources"] == ["secrets"]]
    assert [(rule.get("resourceNames"), rule["verbs"]) for rule in rules] == [
        (None, ["create"]),
        ([name], ["get"]),
    ]


def test_the_edge_reaches_play_pods_and_nothing_else(helm: Helm) -> None:
    policy = one(helm.template(), "NetworkPolicy", "sluice-edge")["spec"]
    public, metrics = policy["ingress"]
    assert public == {"ports": [{"port": "http", "protocol": "TCP"}]}
    assert metrics["from"] == [{"namespaceSelector": {}}]
    dns, origins = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    [peer] = origins["to"]
    labels = {"app.kubernetes.io/managed-by": "sluice", "sluice.video/role": "play"}
    assert peer["podSelector"]["matchLabels"] == labels
    assert origins["ports"] == [{"port": 9300, "protocol": "TCP"}]
