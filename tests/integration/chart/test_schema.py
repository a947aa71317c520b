"""A typing error in the values is refused with words that find it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.helm import CHART, Helm

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

REFUSED = [
    ({"gatway": {}}, "additional properties 'gatway' not allowed"),
    ({"gateway": {"replica": 2}}, "at '/gateway': additional properties 'replica' not allowed"),
    ({"gateway": {"replicas": "two"}}, "at '/gateway/replicas': got string, want integer"),
    ({"gateway": {"replicas": 0}}, "at '/gateway/replicas': minimum"),
    (
        {"gateway": {"service": {"type": "Nodeport"}}},
        "at '/gateway/service/type': value must be one of 'LoadBalancer', 'NodePort', 'ClusterIP'",
    ),
    ({"gateway": {"publicHost": "rtmp://live.example.org"}}, "at '/gateway/publicHost'"),
    ({"gateway": {"publicPorts": {"rtmp": 70000}}}, "at '/gateway/publicPorts/rtmp': maximum"),
    ({"operator": {"logLevel": "verbose"}}, "at '/operator/logLevel': value must be one of"),
    ({"operator": {"observeMode": "direct"}}, "value must be one of 'Direct', 'Proxy'"),
    ({"operator": {"image": {"digest": "latest"}}}, "at '/operator/image/digest'"),
    ({"media": {"image": {"repository": ""}}}, "at '/media/image/repository': minLength"),
    ({"defaultMediaStore": {"size": "20 GB"}}, "at '/defaultMediaStore/size'"),
    ({"defaultMediaStore": {"limit": "a lot"}}, "at '/defaultMediaStore/limit'"),
    ({"defaultMediaStore": {"s3": {"bucket": "No_Bucket"}}}, "at '/defaultMediaStore/s3/bucket'"),
    (
        {"defaultMediaStore": {"s3": {"endpoint": "https://key:secret@s3.example"}}},
        "at '/defaultMediaStore/s3/endpoint'",
    ),
    ({"media": {"spool": {"record": "big"}}}, "at '/media/spool/record'"),
    ({"apiServerCIDR": "192.0.2.1"}, "at '/apiServerCIDR'"),
    ({"clusterDomain": "cluster.local."}, "at '/clusterDomain'"),
    ({"crds": {"enabled": "yes"}}, "at '/crds/enabled': got string, want boolean"),
    (
        {"gateway": {"service": {"type": "NodePort", "nodePorts": {"rtmp": 31935}}}},
        "gateway.publicHost is empty: with gateway.service.type=NodePort, give the host name",
    ),
    (
        {"gateway": {"rtmps": {"enabled": True}}},
        "gateway.rtmps.secretName is empty: with gateway.rtmps.enabled, name the kubernetes.io/tls",
    ),
    (
        {
            "gateway": {"publicHost": "h", "service": {"type": "NodePort"}},
            "whip": {"service": {"nodePorts": {"media": 0}}},
        },
        "whip.service.nodePorts.media is 0: with type NodePort the UDP port must be fixed",
    ),
    (
        {"whip": {"service": {"type": "NodePort"}}},
        "whip.publicHost is empty: with whip.service.type=NodePort, give the host name",
    ),
    ({"whip": {"publicUrl": "live.example.org"}}, "at '/whip/publicUrl'"),
    ({"edge": {"publicUrl": "https://live.example.org/tv"}}, "at '/edge/publicUrl'"),
    ({"edge": {"cache": {"size": "1G"}}}, "at '/edge/cache/size'"),
    ({"edge": {"ingress": {"host": "https://tv.example"}}}, "at '/edge/ingress/host'"),
    ({"edge": {"ingress": {"enabled": True}}}, "edge.ingress.host is empty"),
    (
        {"edge": {"httpRoute": {"enabled": True}, "publicUrl": "https://tv.example"}},
        "edge.httpRoute.parentRefs is empty",
    ),
    (
        {"edge": {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]}}},
        "edge.publicUrl is empty: with edge.httpRoute.enabled, give the begin of the URLs",
    ),
    (
        {"edge": {"service": {"type": "NodePort"}}},
        "edge.publicHost is empty: with edge.service.type=NodePort, give the host name",
    ),
    ({"network": {"allowedRanges": ["192.168.20.1"]}}, "at '/network/allowedRanges/0'"),
    ({"operator": {"podTroubleSeconds": 1}}, "at '/operator/podTroubleSeconds': minimum"),
    ({"media": {"resources": {"hub": {}}}}, "additional properties 'hub' not allowed"),
    ({"operator": {"watchNamespaces": ["TV"]}}, "at '/operator/watchNamespaces/0'"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=lambda v: str(v)[:60])
def test_refuses(helm: Helm, values: dict[str, Any], message: str) -> None:
    assert message in helm.refusal(values)


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}/{name}")


def defaults(values: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{path}/{name}"
        if isinstance(value, dict):
            yield from defaults(value, f"{path}/{name}")


def test_every_object_of_the_schema_is_closed() -> None:
    for path, schema in nodes(SCHEMA):
        if "properties" in schema:
            assert schema["additionalProperties"] is False, path


def test_every_value_in_the_schema_has_its_default_in_values_yaml() -> None:
    known = set(defaults(VALUES))
    declared = {path for path, _ in nodes(SCHEMA) if path}
    # Set by Helm; and what Kubernetes leaves open in `resources`.
    missing = {p for p in declared - known if p != "/global" and "/resources/" not in p}
    assert not missing
