"""Settings: what the environment says, and what decisions get of it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from sluice_operator.settings import Settings


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_MEDIA_IMAGE", "media:1")
    monkeypatch.delenv("POD_UID", raising=False)


def test_only_the_media_image_has_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().domain().media_image == "media:1"
    monkeypatch.delenv("SLUICE_MEDIA_IMAGE")
    with pytest.raises(ValidationError, match="media_image"):
        Settings()


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_WATCH_NAMESPACES", "a, b,")
    monkeypatch.setenv("SLUICE_IMAGE_PULL_SECRETS", "")
    settings = Settings()
    assert settings.watch_namespaces == ("a", "b")
    assert settings.image_pull_secrets == ()


def test_a_pod_keeps_its_identity_over_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_UID", "u-1")
    assert Settings().identity == Settings().identity == "u-1"
    monkeypatch.delenv("POD_UID")
    assert Settings().identity != Settings().identity


def test_resources_of_a_role_replace_its_default_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    default = Settings().domain().resources
    monkeypatch.setenv("SLUICE_MEDIA_RESOURCES", '{"push": {"limits": {"memory": "1Gi"}}}')
    resources = Settings().domain().resources
    assert resources["push"] == {"limits": {"memory": "1Gi"}}
    assert resources["ingest"] == default["ingest"]


def test_the_default_store_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_DEFAULT_STORE_SIZE", "5Gi")
    store = Settings().domain().default_store
    assert store is not None
    assert (store.size, store.storage_class_name) == ("5Gi", None)
    monkeypatch.setenv("SLUICE_DEFAULT_STORE", "false")
    assert Settings().domain().default_store is None


def test_names_that_may_be_dialled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().domain().allowed_names == ()
    monkeypatch.setenv("SLUICE_NETWORK_ALLOWED_NAMES", "a.x.svc.cluster.local, b.example")
    assert Settings().domain().allowed_names == ("a.x.svc.cluster.local", "b.example")


def test_what_may_be_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "169.254.0.0/16" in Settings().domain().denied_ranges, "cloud metadata, by default"
    monkeypatch.setenv("SLUICE_NETWORK_DENIED_RANGES", "10.0.0.0/8")
    monkeypatch.setenv("SLUICE_NETWORK_CLUSTER_RANGES", "192.0.2.7/24, fd00::/8")
    monkeypatch.setenv("SLUICE_NETWORK_ALLOWED_RANGES", "10.1.0.0/16")
    domain = Settings().domain()
    assert domain.denied_ranges == ("10.0.0.0/8", "192.0.2.0/24", "fd00::/8")
    assert domain.allowed_ranges == ("10.1.0.0/16",)


def test_a_range_that_is_none_stops_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_NETWORK_CLUSTER_RANGES", "10.0.0.0/40")
    with pytest.raises(ValidationError, match="network_cluster_ranges"):
        Settings()


def test_srt_and_rtmp_have_a_host_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_GATEWAY_PUBLIC_HOST", "live.example.org")
    assert Settings().domain().gateway_public_srt_host == "", (
        "its Service has an address of its own"
    )
    monkeypatch.setenv("SLUICE_GATEWAY_PUBLIC_SRT_HOST", "srt.example.org")
    assert Settings().domain().gateway_public_host == "live.example.org"
    assert Settings().domain().gateway_public_srt_host == "srt.example.org"


def test_how_long_a_pod_may_be_in_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_POD_TROUBLE_SECONDS", "600")
    assert Settings().domain().pod_trouble_seconds == 600


def test_without_a_key_there_is_no_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_EDGE_SERVICE", "sluice-edge")
    assert Settings().domain().edge is None


def test_the_edge_is_reached_by_the_name_of_its_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "NAMESPACE": "sluice-system",
        "CLUSTER_DOMAIN": "cluster.example",
        "EDGE_KEY_SECRET": "sluice-edge-key",
        "EDGE_SERVICE": "sluice-edge",
        "EDGE_SERVICE_PORT": "8080",
        "EDGE_PUBLIC_URL": "https://tv.example",
        "EDGE_PUBLIC_HOST": "tv.example",
        "EDGE_PUBLIC_PORT": "443",
        "EDGE_SERVICE_TYPE": "ClusterIP",
    }.items():
        monkeypatch.setenv(f"SLUICE_{name}", value)
    edge = Settings().domain().edge
    assert edge is not None
    assert (edge.host, edge.port) == ("sluice-edge.sluice-system.svc.cluster.example", 8080)
    assert (edge.public_url, edge.public_host) == ("https://tv.example", "tv.example")
    assert edge.public_port == 443
