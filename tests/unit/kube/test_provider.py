"""kind or bare: the choice, and what kind is asked to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kube.errors import KubeToolError
from tests.kube.kind import NODE_PORTS, audit_patches, cluster_config, load_command
from tests.kube.paths import Paths
from tests.kube.provider import choose, running_provider
from tests.kube.selftest import manifests


@pytest.mark.parametrize(
    ("requested", "running", "docker", "want"),
    [
        ("auto", None, True, "kind"),
        ("auto", None, False, "bare"),
        ("bare", None, True, "bare"),
        ("auto", "bare", True, "bare"),
        ("kind", "kind", False, "kind"),
    ],
)
def test_the_provider_is_chosen(
    requested: str, running: str | None, docker: bool, want: str
) -> None:
    assert choose(requested, running, docker=docker) == want


def test_two_providers_do_not_share_a_state_folder() -> None:
    with pytest.raises(KubeToolError, match="a bare cluster exists; run first"):
        choose("kind", "bare", docker=True)


def test_the_running_provider_is_read_from_the_state(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path)
    assert running_provider(paths) is None
    (tmp_path / "kind.json").write_text("{}", encoding="utf-8")
    assert running_provider(paths) == "kind"
    (tmp_path / "cluster.json").write_text('{"nodes": 2}', encoding="utf-8")
    assert running_provider(paths) == "bare"


def test_kind_gets_one_control_plane_and_the_rest_workers() -> None:
    config = cluster_config(2, Path("/policy"), Path("/audit"))
    nodes = config["nodes"]
    assert isinstance(nodes, list)
    assert [each["role"] for each in nodes] == ["control-plane", "worker"]
    ports = nodes[0]["extraPortMappings"]
    assert [(each["hostPort"], each["protocol"]) for each in ports] == list(NODE_PORTS)
    assert {mount["hostPath"] for mount in nodes[0]["extraMounts"]} == {"/policy", "/audit"}
    assert json.loads(json.dumps(config)) == config, "kind reads it as JSON"


def test_the_audit_flags_fit_both_versions_of_kubeadm() -> None:
    old, new = audit_patches()
    assert old["apiVersion"] == "kubeadm.k8s.io/v1beta3"
    assert new["apiVersion"] == "kubeadm.k8s.io/v1beta4"
    old_flags = old["apiServer"]["extraArgs"]  # type: ignore[index]
    new_flags = new["apiServer"]["extraArgs"]  # type: ignore[index]
    assert {flag["name"]: flag["value"] for flag in new_flags} == old_flags


def test_kind_loads_from_the_daemon_or_from_a_file() -> None:
    words = ["kind", "load", "image-archive", "x.tar", "--name", "sluice"]
    assert load_command("kind", "image-archive", "x.tar") == words


def test_the_selftest_lets_the_cluster_choose_a_port_unless_told() -> None:
    def port(items: list[dict[str, object]]) -> object:
        service = next(item for item in items if item["kind"] == "Service")
        return service["spec"]["ports"][0]  # type: ignore[index]

    assert port(manifests("image")) == {"port": 80, "targetPort": 8080}
    assert port(manifests("image", 30080)) == {"port": 80, "targetPort": 8080, "nodePort": 30080}


def test_without_root_the_state_goes_to_the_users_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert Paths.from_environment({}).state == Path("~/.local/state/sluice-kube").expanduser()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert Paths.from_environment({}).state == Path("/var/lib/sluice-kube")
    assert Paths.from_environment({"SLUICE_STATE": "/s"}).state == Path("/s")
