"""Cluster DNS: CoreDNS as a process on the first node, behind the usual Service ``kube-dns``.

CoreDNS caches nothing, and the TTL is 0: a publisher that looks up a Service a moment too early
must find it with its next query. Names outside the cluster are answered with NXDOMAIN at once,
because pods cannot reach other networks.
"""

from __future__ import annotations

import socket
import struct
from pathlib import Path

from tests.kube import kubeconfig, netns
from tests.kube.api import Api
from tests.kube.binaries import Binaries
from tests.kube.certs import Authority
from tests.kube.files import write_if_changed
from tests.kube.layout import CLUSTER_DOMAIN, DNS_ADDRESS, Node
from tests.kube.paths import Paths
from tests.kube.processes import Daemon

__all__ = ["answers", "corefile", "daemon", "objects", "publish", "query"]

NAME = "coredns"
TTL_SECONDS = 1


def corefile(node: Node, kubeconfig_path: Path) -> str:
    """Return CoreDNS's configuration. Its TTL applies to negative answers too (RFC 2308, SOA)."""
    return f"""\
{CLUSTER_DOMAIN}:53 in-addr.arpa:53 {{
    bind {node.address}
    errors
    ready {node.address}:8181
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig_path}
        pods insecure
        ttl {TTL_SECONDS}
    }}
}}
.:53 {{
    bind {node.address}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def daemon(
    paths: Paths, binaries: Binaries, authority: Authority, node: Node, server: str
) -> Daemon:
    """Write the configuration of CoreDNS; return its daemon."""
    client = kubeconfig.write(paths.config / "coredns.kubeconfig", authority, NAME, server)
    config = write_if_changed(paths.config / "Corefile", corefile(node, client))
    return Daemon(NAME, [*netns.enter(node), str(binaries.path(NAME)), "-conf", str(config)])


def objects(node: Node) -> dict[str, dict[str, object]]:
    """Return API path → object: the Service, its endpoints, and the rights of CoreDNS."""
    labels = {"k8s-app": "kube-dns"}
    rbac = "rbac.authorization.k8s.io"
    role = {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:coredns"}
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    return {
        f"/apis/{rbac}/v1/clusterroles/system:coredns": {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services", "pods", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": ["list", "watch"],
                },
            ],
        },
        f"/apis/{rbac}/v1/clusterrolebindings/system:coredns": {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": role,
            "subjects": [{"kind": "User", "name": "system:coredns", "apiGroup": rbac}],
        },
        "/api/v1/namespaces/kube-system/services/kube-dns": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
            "spec": {"clusterIP": DNS_ADDRESS, "ports": ports},
        },
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns": {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {**labels, "kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "ports": ports,
            "endpoints": [{"addresses": [node.address], "conditions": {"ready": True}}],
        },
    }


def publish(api: Api, node: Node) -> None:
    """Create or repair the objects that make CoreDNS the cluster's DNS."""
    for path, body in objects(node).items():
        api.apply(path, body)


def query(name: str) -> bytes:
    """Return a DNS question for a name's IPv4 address (RFC 1035, section 4.1)."""
    header = struct.pack(">6H", 0x51CE, 0x0100, 1, 0, 0, 0)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return header + labels + b"\0" + struct.pack(">2H", 1, 1)


def answers(node: Node, *, seconds: float = 0.5) -> bool:
    """Return whether CoreDNS on that node resolves the API server's Service."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(seconds)
        try:
            client.connect((node.address, 53))
            client.send(query(f"kubernetes.default.svc.{CLUSTER_DOMAIN}"))
            answer = client.recv(512)
        except OSError:
            return False
    flags, _questions, count = struct.unpack(">3H", answer[2:8])
    return bool(flags & 0x000F == 0 and count > 0)
