"""managedFields: entries as a real API server (1.35) wrote them."""

from __future__ import annotations

from typing import Any

import pytest

from sluice_operator.engine.fields import holds_every_path, missing_paths

MANIFEST: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a", "namespace": "ns", "labels": {"app": "a"}},
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "securityContext": {"runAsNonRoot": True},
                "tolerations": [{"key": "x", "operator": "Exists"}],
                "containers": [
                    {
                        "name": "main",
                        "image": "i",
                        "args": ["run"],
                        "ports": [{"containerPort": 9000}],
                        "env": [{"name": "E", "value": "1"}],
                    }
                ],
                "volumes": [{"name": "v", "emptyDir": {}}],
            }
        },
    },
}


def make_entry() -> dict[str, Any]:
    return {
        "f:metadata": {"f:labels": {"f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:template": {
                "f:spec": {
                    "f:securityContext": {"f:runAsNonRoot": {}},
                    "f:tolerations": {},
                    "f:containers": {
                        'k:{"name":"main"}': {
                            ".": {},
                            "f:args": {},
                            "f:env": {'k:{"name":"E"}': {".": {}, "f:name": {}, "f:value": {}}},
                            "f:image": {},
                            "f:name": {},
                            "f:ports": {
                                'k:{"containerPort":9000,"protocol":"TCP"}': {
                                    ".": {},
                                    "f:containerPort": {},
                                }
                            },
                        }
                    },
                    "f:volumes": {'k:{"name":"v"}': {".": {}, "f:emptyDir": {}, "f:name": {}}},
                }
            },
        },
    }


def test_an_untouched_object_misses_nothing() -> None:
    assert list(missing_paths(make_entry(), MANIFEST)) == []


@pytest.mark.parametrize(
    ("path", "want_missing"),
    [
        ("f:spec/f:replicas", ".spec.replicas"),
        ("f:metadata/f:labels/f:app", ".metadata.labels.app"),
        ("f:spec/f:template/f:spec/f:tolerations", ".spec.template.spec.tolerations"),
        (
            'f:spec/f:template/f:spec/f:containers/k:{"name":"main"}/f:image',
            ".spec.template.spec.containers[0].image",
        ),
        (
            'f:spec/f:template/f:spec/f:containers/k:{"name":"main"}/f:env/k:{"name":"E"}',
            ".spec.template.spec.containers[0].env",
        ),
        ('f:spec/f:template/f:spec/f:volumes/k:{"name":"v"}', ".spec.template.spec.volumes"),
    ],
)
def test_a_path_that_somebody_took_away_is_missed(path: str, want_missing: str) -> None:
    entry = make_entry()
    *parents, leaf = path.split("/")
    node = entry
    for part in parents:
        node = node[part]
    del node[leaf]
    missing = list(missing_paths(entry, MANIFEST))
    assert len(missing) == 1 or not node
    assert all(m.startswith(want_missing) for m in missing)


def test_sets_are_compared_by_value() -> None:
    entry: dict[str, Any] = {"f:metadata": {"f:finalizers": {'v:"ours"': {}}}}
    manifest = {"metadata": {"finalizers": ["ours", "other"]}}
    assert list(missing_paths(entry, manifest)) == [".metadata.finalizers[1]"]


def test_without_an_entry_of_ours_nothing_is_held() -> None:
    obj = {"metadata": {"managedFields": [{"manager": "kubectl", "operation": "Update"}]}}
    assert not holds_every_path(obj, MANIFEST, "sluice-operator")


def test_an_entry_for_the_status_is_another_thing() -> None:
    entry = {
        "manager": "sluice-operator",
        "operation": "Apply",
        "subresource": "status",
        "fieldsV1": make_entry(),
    }
    assert not holds_every_path({"metadata": {"managedFields": [entry]}}, MANIFEST, "x")
