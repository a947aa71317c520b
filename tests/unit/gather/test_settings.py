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
