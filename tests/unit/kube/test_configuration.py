"""What the components are told: every line here was learned from a cluster that did not start."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.kube import containerd, control_plane, dns, files, mounts, node, packages
from tests.kube.bare import node_ready
from tests.kube.certs import Authority, Subject, subjects
from tests.kube.errors import KubeToolError
from tests.kube.kubeconfig import build
from tests.kube.layout import node_named, nodes
from tests.kube.paths import Paths

PATHS = Paths(Path("/cache"), Path("/state"))
AUTHORITY = Authority(Path("/state/pki"))
N1, N2 = nodes(2)


def test_nodes_have_addresses_and_pod_networks_of_their_own() -> None:
    assert (N1.address, N1.pod_cidr) == ("10.88.0.2", "10.244.0.0/23")
    assert (N2.address, N2.pod_cidr) == ("10.88.0.3", "10.244.2.0/23")
    assert node_named("n2") == N2
    with pytest.raises(KubeToolError, match="known: n1, n2"):
        node_named("n3")
    with pytest.raises(KubeToolError, match="1 to 2"):
        nodes(3)


def test_interface_names_fit_into_the_kernels_fifteen_bytes() -> None:
    assert all(len(f"{each.netns}-e") <= 15 for each in (N1, N2))


def test_containerd_is_told_what_a_bare_machine_needs() -> None:
    text = containerd.config_toml(PATHS, N2)
    assert "restrict_oom_score_adj = true" in text
    assert "SystemdCgroup = false" in text
    assert 'root = "/state/nodes/n2/containerd"' in text
    assert 'sandbox_image = "localhost/sluice-pause:1"' in text


def test_a_state_folder_too_long_for_a_socket_is_refused() -> None:
    deep = Paths(Path("/cache"), Path("/" + "x" * 90))
    with pytest.raises(KubeToolError, match="shorten SLUICE_STATE"):
        containerd.socket(deep, N1)


def test_pods_keep_their_address_between_nodes() -> None:
    plugins = containerd.network_config(PATHS, N1)["plugins"]
    assert isinstance(plugins, list)
    assert plugins[0]["ipMasq"] is False
    assert plugins[0]["ipam"]["ranges"] == [[{"subnet": "10.244.0.0/23"}]]


def test_shims_are_recognised_by_their_containerd() -> None:
    line = b"/usr/bin/containerd-shim-runc-v2\0-namespace\0k8s.io\0-address\0/a/sock\0-id\0x\0"
    assert containerd.shim_socket(line) == "/a/sock"
    assert containerd.shim_socket(b"sh\0-c\0containerd-shim-runc-v2 -address /a/sock\0") is None
    assert containerd.shim_socket(b"") is None


def test_kubelet_accepts_cgroup_v1_only_where_it_must() -> None:
    old = node.kubelet_config(PATHS, AUTHORITY, N1, cgroup_v1=True)
    new = node.kubelet_config(PATHS, AUTHORITY, N1, cgroup_v1=False)
    assert old["failCgroupV1"] is False
    assert "failCgroupV1" not in new
    assert old["cgroupRoot"] == "/sluice-n1"
    assert old["maxPods"] == 250


def test_a_full_disk_of_the_machine_evicts_nothing() -> None:
    config = node.kubelet_config(PATHS, AUTHORITY, N1, cgroup_v1=True)
    assert config["imageGCHighThresholdPercent"] == 100
    assert isinstance(config["evictionHard"], dict)
    assert config["evictionHard"]["nodefs.available"] == "1%"


def test_the_audit_log_keeps_every_write_and_drops_the_components_reads() -> None:
    rules = control_plane.audit_policy()["rules"]
    assert isinstance(rules, list)
    assert rules[-1] == {"level": "Metadata"}
    for rule in rules[:-1]:
        reads_only = rule.get("verbs") == ["get", "list", "watch"]
        leases_only = rule.get("resources", [{}])[0].get("resources") == ["leases"]
        assert reads_only or leases_only or "nonResourceURLs" in rule


def test_dns_denies_for_no_longer_than_it_affirms() -> None:
    text = dns.corefile(N1, Path("/state/config/coredns.kubeconfig"))
    assert "ttl 1\n" in text
    assert "cache" not in text
    assert text.count("bind 10.88.0.2") == 2


def test_a_dns_question_is_laid_out_as_the_rfc_says() -> None:
    assert dns.query("a.bc")[12:] == b"\x01a\x02bc\x00\x00\x01\x00\x01"


def test_the_api_server_is_known_by_all_its_names() -> None:
    server = next(subject for subject in subjects([N1]) if subject.file == "apiserver")
    assert "DNS:kubernetes.default.svc" in server.alternative_names
    assert {"IP:10.96.0.1", "IP:10.88.0.2"} <= set(server.alternative_names)


def test_a_kubelets_certificate_says_which_node_it_is() -> None:
    kubelet = next(subject for subject in subjects([N1, N2]) if subject.file == "kubelet-n2")
    assert kubelet.distinguished_name == "/O=system:nodes/CN=system:node:n2"
    assert "subjectAltName=DNS:n2,IP:10.88.0.3" in kubelet.extensions


def test_a_client_has_no_server_names() -> None:
    assert "subjectAltName" not in Subject("admin", "admin").extensions


def test_a_kubeconfig_carries_everything_inside() -> None:
    config = json.dumps(build("https://10.88.0.2:6443", b"ca", b"certificate", b"key"))
    assert '"certificate-authority-data": "Y2E="' in config
    assert '"client-key-data": "a2V5"' in config


def test_files_are_left_alone_when_nothing_changed(tmp_path: Path) -> None:
    path = files.write_if_changed(tmp_path / "folder" / "config", "text", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    os.utime(path, (1, 1))
    files.write_if_changed(path, "text")
    assert path.stat().st_mtime == 1
    files.write_if_changed(path, "other")
    assert path.read_text(encoding="utf-8") == "other"
    assert [each.name for each in path.parent.iterdir()] == ["config"]


def test_mounts_come_off_deepest_first() -> None:
    mountinfo = "\n".join(
        f"{number} 1 0:1 / {point} rw - tmpfs tmpfs rw"
        for number, point in enumerate(["/", "/state/a", "/state/a/b\\040c", "/states", "/state/d"])
    )
    found = mounts.below(mountinfo, Path("/state"))
    assert found == [Path("/state/a/b c"), Path("/state/d"), Path("/state/a")]


def test_a_node_is_ready_when_its_condition_says_so() -> None:
    assert node_ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert not node_ready({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})
    assert not node_ready({})


def test_missing_packages_are_named(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    needed = {"one": "no-such-program", "two": str(there), "three": str(tmp_path / "absent")}
    assert packages.missing(needed) == ["one", "three"]
    with pytest.raises(KubeToolError, match="missing: one, three"):
        packages.ensure(needed, check_only=True)
