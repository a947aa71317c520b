"""Where publishers are sent: Services, their ports, and the hosts that the operator tells."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.helm import (
    Helm,
    Object,
    environment,
    one,
    pod_specs,
)


@pytest.mark.parametrize(
    ("gateway", "host", "port"),
    [
        pytest.param({"service": {"type": "LoadBalancer"}}, None, None, id="its-own-address"),
        pytest.param({"publicHost": "live.example.org"}, "live.example.org", None, id="a-name"),
        pytest.param(
            {"publicHost": "192.0.2.1", "service": {"type": "NodePort"}},
            "192.0.2.1",
            None,
            id="node-port-read-off-the-service",
        ),
        pytest.param(
            {"publicHost": "h", "publicPorts": {"rtmp": 443}}, "h", "443", id="behind-a-mapping"
        ),
        pytest.param(
            {"service": {"type": "ClusterIP", "ports": {"rtmp": 1940}}},
            "sluice-gateway.sluice-system.svc.cluster.local",
            "1940",
            id="inside-the-cluster",
        ),
    ],
)
def test_where_publishers_are_sent(
    helm: Helm, gateway: dict[str, Any], host: str | None, port: str | None
) -> None:
    given = environment(helm.template(values={"gateway": gateway}), "sluice-operator")
    assert given.get("SLUICE_GATEWAY_PUBLIC_HOST") == host
    assert given.get("SLUICE_GATEWAY_PUBLIC_RTMP_PORT") == port


def ports(objects: list[Object], service: str) -> dict[str, Object]:
    return {port["name"]: port for port in one(objects, "Service", service)["spec"]["ports"]}


def test_the_service_has_the_ports_that_were_asked_for(helm: Helm) -> None:
    def rtmp(**service: Any) -> Object:
        values = {"gateway": {"publicHost": "h", "service": service}}
        return dict(ports(helm.template(values=values), "sluice-gateway")["rtmp"])

    assert rtmp(type="NodePort", nodePorts={"rtmp": 31935})["nodePort"] == 31935
    assert "nodePort" not in rtmp(type="NodePort")
    assert "nodePort" not in rtmp(type="ClusterIP", nodePorts={"rtmp": 31935})
    assert rtmp(type="LoadBalancer", ports={"rtmp": 443})["port"] == 443
    assert rtmp(type="LoadBalancer")["targetPort"] == "rtmp"


@pytest.mark.parametrize(
    ("gateway", "want"),
    [
        ({}, {"rtmp": "TCP", "srt": "UDP"}),
        ({"srt": {"enabled": False}}, {"rtmp": "TCP"}),
        (
            {"rtmps": {"enabled": True, "secretName": "tls"}},
            {"rtmp": "TCP", "rtmps": "TCP", "srt": "UDP"},
        ),
    ],
    ids=["as it comes", "a load balancer without UDP", "with a certificate"],
)
def test_service_pod_policy_and_operator_agree_on_the_ways_in(
    helm: Helm, gateway: Object, want: Object
) -> None:
    objects = helm.template(values={"gateway": {"publicPorts": {"rtmps": 443}} | gateway})
    found = {o["metadata"]["name"] for o in objects if o["kind"] == "Service"} - {"sluice-edge"}
    assert found == {"sluice-gateway"} | ({"sluice-gateway-srt"} if "srt" in want else set())
    service = {n: port for name in found for n, port in ports(objects, name).items()}
    assert {name: port["protocol"] for name, port in service.items()} == want
    [pod] = [spec for name, spec in pod_specs(objects) if name == "sluice-gateway"]
    listening = {p["name"]: p.get("protocol", "TCP") for p in pod["containers"][0]["ports"]}
    assert listening == want | {"metrics": "TCP"}
    policy = one(objects, "NetworkPolicy", "sluice-gateway")["spec"]["ingress"][0]["ports"]
    assert {port["port"]: port["protocol"] for port in policy} == want
    given = environment(objects, "sluice-gateway")
    assert given["SLUICE_SRT_PORT"] == ("9710" if "srt" in want else "0")
    assert given.get("SLUICE_RTMPS_PORT") == ("1936" if "rtmps" in want else None)
    told = environment(objects, "sluice-operator").get("SLUICE_GATEWAY_PUBLIC_RTMPS_PORT")
    assert told == ("443" if "rtmps" in want else None), "no address of what is not there"


def test_the_certificate_is_mounted_where_the_gateway_looks(helm: Helm) -> None:
    values = {"gateway": {"rtmps": {"enabled": True, "secretName": "live-tls"}}}
    objects = helm.template(values=values)
    [pod] = [spec for name, spec in pod_specs(objects) if name == "sluice-gateway"]
    [volume] = [v for v in pod["volumes"] if "secret" in v]
    assert volume["secret"] == {"secretName": "live-tls", "defaultMode": 0o440}
    [mount] = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
    assert mount["mountPath"] == environment(objects, "sluice-gateway")["SLUICE_TLS_DIR"]
    assert mount["readOnly"] is True


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort", "ClusterIP"])
def test_no_service_has_tcp_and_udp(helm: Helm, kind: str) -> None:
    """Common load balancers refuse a Service with both, and then RTMP has no address either."""
    values = {"gateway": {"publicHost": "h", "service": {"type": kind}}}
    services = [o for o in helm.template(values=values) if o["kind"] == "Service"]
    assert len(services) == 5
    for service in services:
        assert len({port["protocol"] for port in service["spec"]["ports"]}) == 1


def test_each_service_has_its_own_annotations(helm: Helm) -> None:
    gateway = {
        "publicHost": "h",
        "service": {"annotations": {"a": "both", "b": "both"}},
        "srt": {"serviceAnnotations": {"b": "udp"}},
    }
    whip = {"service": {"annotations": {"c": "w"}}, "mediaServiceAnnotations": {"d": "m"}}
    objects = helm.template(values={"gateway": gateway, "whip": whip})
    services = [o for o in objects if o["kind"] == "Service"]
    found = {o["metadata"]["name"]: o["metadata"].get("annotations") for o in services}
    assert found["sluice-gateway"] == {"a": "both", "b": "both"}
    assert found["sluice-gateway-srt"] == {"a": "both", "b": "udp"}
    assert found["sluice-whip"] == {"c": "w"}
    assert found["sluice-whip-media"] == {"c": "w", "d": "m"}


@pytest.mark.parametrize(
    ("gateway", "want"),
    [
        ({}, None),
        ({"publicHost": "rtmp.example"}, None),
        ({"publicHost": "a", "srt": {"publicHost": "srt.example"}}, "srt.example"),
        ({"publicHost": "192.0.2.1", "service": {"type": "NodePort"}}, "192.0.2.1"),
        (
            {"service": {"type": "ClusterIP"}},
            "sluice-gateway-srt.sluice-system.svc.cluster.local",
        ),
        ({"publicHost": "edge", "service": {"type": "ClusterIP"}}, "edge"),
    ],
    ids=["own balancer", "another name", "named", "node port", "inside", "behind an edge"],
)
def test_srt_has_a_host_of_its_own(helm: Helm, gateway: Object, want: str | None) -> None:
    given = environment(helm.template(values={"gateway": gateway}), "sluice-operator")
    assert given["SLUICE_GATEWAY_SRT_SERVICE"] == "sluice-gateway-srt"
    assert given.get("SLUICE_GATEWAY_PUBLIC_SRT_HOST") == want


@pytest.mark.parametrize(
    ("values", "host", "port"),
    [
        pytest.param({"gateway": {"publicHost": "a"}}, "a", "8189", id="load-balancer"),
        pytest.param(
            {"gateway": {"publicHost": "a"}, "whip": {"publicHost": "b"}},
            "b",
            "8189",
            id="a-load-balancer-of-its-own",
        ),
        pytest.param(
            {"gateway": {"publicHost": "a", "service": {"type": "NodePort"}}},
            "a",
            "31189",
            id="node-port",
        ),
        pytest.param(
            {
                "gateway": {"publicHost": "a", "service": {"type": "NodePort"}},
                "whip": {"publicPorts": {"media": 9000}},
            },
            "a",
            "9000",
            id="mapped-elsewhere",
        ),
        pytest.param(
            {"gateway": {"service": {"type": "ClusterIP"}}},
            "sluice-whip-media.sluice-system.svc.cluster.local",
            "8189",
            id="inside-the-cluster",
        ),
        pytest.param(
            {"gateway": {"publicHost": "a"}, "whip": {"publicHost": "b", "mediaHost": "c"}},
            "c",
            "8189",
            id="a-load-balancer-for-each-protocol",
        ),
    ],
)
def test_whip_tells_publishers_where_their_media_goes(
    helm: Helm, values: Object, host: str, port: str
) -> None:
    objects = helm.template(values=values)
    given = environment(objects, "sluice-whip")
    assert given["SLUICE_PUBLIC_HOST"] == host
    assert given["SLUICE_PUBLIC_MEDIA_PORT"] == port
    media = ports(objects, "sluice-whip-media")["media"]
    if "nodePort" in media:
        assert media["nodePort"] == 31189
    told = environment(objects, "sluice-operator")
    assert told["SLUICE_WHIP_SERVICE"] == "sluice-whip"
    offers = {
        "c": "b",
        "sluice-whip-media.sluice-system.svc.cluster.local": (
            "sluice-whip.sluice-system.svc.cluster.local"
        ),
    }
    assert told["SLUICE_WHIP_PUBLIC_HOST"] == offers.get(host, host)


def test_whip_needs_the_address_of_its_media_alone(helm: Helm) -> None:
    """The operator reads the other one off the Service."""
    objects = helm.template(values={"whip": {"mediaHost": "192.0.2.9"}})
    assert environment(objects, "sluice-whip")["SLUICE_PUBLIC_HOST"] == "192.0.2.9"
    assert "SLUICE_WHIP_PUBLIC_HOST" not in environment(objects, "sluice-operator")


@pytest.mark.parametrize(
    "values", [{}, {"gateway": {"publicHost": "h"}, "whip": {"enabled": False}}]
)
def test_without_an_address_to_tell_or_switched_off_there_is_no_whip(
    helm: Helm, values: Object
) -> None:
    objects = helm.template(values=values)
    assert not [o for o in objects if "whip" in o["metadata"]["name"]]
    assert not [name for name in environment(objects, "sluice-operator") if "WHIP" in name]
