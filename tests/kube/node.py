"""kubelet and kube-proxy of one node: their configuration and their command lines."""

from __future__ import annotations

import json

from tests.kube import cgroups, containerd, kubeconfig, netns
from tests.kube.binaries import Binaries
from tests.kube.certs import Authority
from tests.kube.files import write_if_changed
from tests.kube.layout import (
    CLUSTER_DOMAIN,
    DNS_ADDRESS,
    MAX_PODS,
    POD_NETWORK,
    Node,
)
from tests.kube.paths import Paths
from tests.kube.processes import Daemon

__all__ = ["daemons", "kubelet_config", "names", "proxy_config"]


def names(node: Node) -> list[str]:
    """Return the node's daemons, in starting order."""
    return [f"{part}-{node.name}" for part in ("containerd", "kubelet", "kube-proxy")]


def kubelet_config(
    paths: Paths, authority: Authority, node: Node, *, cgroup_v1: bool
) -> dict[str, object]:
    """Return the node's KubeletConfiguration."""
    config: dict[str, object] = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{containerd.socket(paths, node)}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(paths.node(node.name) / "resolv.conf"),
        "podLogsDir": str(paths.node(node.name) / "pod-logs"),
        "tlsCertFile": str(authority.certificate(f"kubelet-{node.name}")),
        "tlsPrivateKeyFile": str(authority.key(f"kubelet-{node.name}")),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.certificate("ca"))},
        },
        "authorization": {"mode": "Webhook"},
        "maxPods": MAX_PODS,
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        # The node uses the machine's disk, whose fill level is no fault of the cluster.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
    }
    if cgroup_v1:
        # Kubernetes 1.35 refuses cgroup v1 without this setting.
        config["failCgroupV1"] = False
    return config


def proxy_config(kubeconfig_path: str) -> dict[str, object]:
    """Return the node's KubeProxyConfiguration."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": kubeconfig_path},
        "clusterCIDR": POD_NETWORK,
        "oomScoreAdj": 0,
        # The limits of connection tracking are those of the machine, not of a namespace.
        "conntrack": {"maxPerCore": 0, "min": 0},
        # Apply changes of endpoints at once, and not up to a second later.
        "iptables": {"minSyncPeriod": "100ms"},
    }


def daemons(
    paths: Paths, binaries: Binaries, authority: Authority, node: Node, server: str
) -> list[Daemon]:
    """Write the configuration of containerd, kubelet and kube-proxy of a node; return their
    daemons."""
    home = paths.node(node.name)
    write_if_changed(home / "resolv.conf", f"nameserver {DNS_ADDRESS}\n")
    kubelet_client = kubeconfig.write(
        home / "kubelet.kubeconfig", authority, f"kubelet-{node.name}", server
    )
    proxy_client = kubeconfig.write(home / "proxy.kubeconfig", authority, "proxy", server)
    configs = {
        "kubelet": kubelet_config(paths, authority, node, cgroup_v1=cgroups.is_v1()),
        "kube-proxy": proxy_config(str(proxy_client)),
    }
    for name, config in configs.items():
        write_if_changed(home / f"{name}.json", json.dumps(config, indent=2))
    kubelet = [
        f"--config={home / 'kubelet.json'}",
        f"--kubeconfig={kubelet_client}",
        f"--root-dir={home / 'kubelet'}",
        f"--cert-dir={home / 'kubelet-pki'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
    ]
    proxy = [f"--config={home / 'kube-proxy.json'}", f"--hostname-override={node.name}"]
    enter = netns.enter(node)
    containerd_name, kubelet_name, proxy_name = names(node)
    runtime = containerd.daemon(paths, node)
    assert runtime.name == containerd_name
    return [
        runtime,
        Daemon(kubelet_name, [*enter, str(binaries.path("kubelet")), *kubelet]),
        Daemon(proxy_name, [*enter, str(binaries.path("kube-proxy")), *proxy]),
    ]
