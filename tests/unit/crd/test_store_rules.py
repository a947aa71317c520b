"""What a MediaStore's endpoint and prefix may look like."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_operator.api.v1alpha1 import MediaStore
from sluice_operator.crd import crd_manifest
from tests.unit.crd.cel import holds


def rules_of(field: str) -> list[str]:
    root: Any = crd_manifest(MediaStore)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema = root["properties"]["spec"]["properties"]["s3"]["properties"][field]
    return [entry["rule"] for entry in schema["x-kubernetes-validations"]]


def taken(field: str, value: str) -> bool:
    return all(holds(rule, value) for rule in rules_of(field))


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://s3.eu-west-1.amazonaws.com",
        "http://minio.storage:9000",
        "https://192.0.2.1:9000/",
        "https://[2001:db8::1]:9000",
    ],
)
def test_an_endpoint_is_a_server(endpoint: str) -> None:
    assert taken("endpoint", endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "s3.example",
        "ftp://s3.example",
        "https://",
        "https://key:secret@s3.example",
        "https://s3.example/bucket",
        "https://s3.example?token=x",
        "https://s3.example:port",
        "https://s3 .example",
    ],
)
def test_an_endpoint_is_nothing_but_a_server(endpoint: str) -> None:
    assert not taken("endpoint", endpoint)


@pytest.mark.parametrize("prefix", ["live", "live/studio-a", "a/b_c/d=1/e.f"])
def test_a_prefix_is_names_and_slashes(prefix: str) -> None:
    assert taken("prefix", prefix)


@pytest.mark.parametrize("prefix", ["/live", "live/", "a//b", "..", "a/../b", "./a", "a b", "ä"])
def test_a_prefix_cannot_lead_elsewhere(prefix: str) -> None:
    assert not taken("prefix", prefix)
