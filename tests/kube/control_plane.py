"""etcd, API server, controller manager and scheduler as processes in the first node's namespace.

This module has only arguments and configuration; ``bare`` starts and stops the processes.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.kube import kubeconfig, netns
from tests.kube.binaries import Binaries
from tests.kube.certs import Authority
from tests.kube.files import write_if_changed
from tests.kube.layout import API_PORT, SERVICE_NETWORK, Node
from tests.kube.paths import Paths
from tests.kube.processes import Daemon

__all__ = ["audit_policy", "daemons", "server_url"]

ETCD_URL = "http://127.0.0.1:2379"
AUDIT_FILE_MEGABYTES = 64
AUDIT_FILES = 3


def server_url(node: Node) -> str:
    """Return the API server's URL. It is valid on the host, on the nodes and in pods."""
    return f"https://{node.address}:{API_PORT}"


_FEW_COLLECTIONS = {"GOGC": "400", "GOMEMLIMIT": "768MiB"}
"""Environment for Go: collect garbage seldom, but do not let the heap grow much beyond the limit.
The API server used a fifth of its CPU time for collections."""


def audit_policy() -> dict[str, object]:
    """Return the audit policy: all changes, and the reads of people and workloads, at level
    Metadata.

    Reads and lease renewals of the components are left out, because they would be nine lines in
    ten.
    """
    components = ["system:nodes", "system:serviceaccounts:kube-system"]
    users = [
        "system:apiserver",
        "system:kube-controller-manager",
        "system:kube-scheduler",
        "system:kube-proxy",
        "system:coredns",
        "sluice-provisioner",
    ]
    reads = ["get", "list", "watch"]
    leases = {"group": "coordination.k8s.io", "resources": ["leases"]}
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": True,
        "rules": [
            {"level": "None", "nonResourceURLs": ["*"]},
            {"level": "None", "verbs": reads, "userGroups": components},
            {"level": "None", "verbs": reads, "users": users},
            {"level": "None", "resources": [leases], "userGroups": components},
            {"level": "None", "resources": [leases], "users": users},
            {"level": "Metadata"},
        ],
    }


def daemons(paths: Paths, binaries: Binaries, authority: Authority, node: Node) -> list[Daemon]:
    """Write the configuration of the control plane; return its daemons in start order."""
    policy = write_if_changed(
        paths.config / "audit-policy.json", json.dumps(audit_policy(), indent=2)
    )
    paths.audit_log.parent.mkdir(parents=True, exist_ok=True)
    clients = {
        name: kubeconfig.write(
            paths.config / f"{name}.kubeconfig", authority, name, server_url(node)
        )
        for name in ("controller-manager", "scheduler")
    }

    def daemon(name: str, flags: list[str]) -> Daemon:
        return Daemon(
            name, [*netns.enter(node), str(binaries.path(name)), *flags], _FEW_COLLECTIONS
        )

    return [
        daemon("etcd", _etcd_flags(paths)),
        daemon("kube-apiserver", _apiserver_flags(paths, authority, node, policy)),
        daemon(
            "kube-controller-manager",
            _controller_manager_flags(authority, clients["controller-manager"]),
        ),
        daemon(
            "kube-scheduler",
            [f"--kubeconfig={clients['scheduler']}", "--leader-elect=false", "--profiling=false"],
        ),
    ]


def _etcd_flags(paths: Paths) -> list[str]:
    return [
        f"--data-dir={paths.state / 'etcd'}",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--log-level=warn",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        # Without fsync a test cluster survives kill -9, and recordings use the same disk.
        "--unsafe-no-fsync",
    ]


def _apiserver_flags(paths: Paths, authority: Authority, node: Node, policy: Path) -> list[str]:
    certificate, key = authority.certificate, authority.key
    return [
        f"--etcd-servers={ETCD_URL}",
        f"--advertise-address={node.address}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--profiling=false",
        f"--client-ca-file={certificate('ca')}",
        f"--tls-cert-file={certificate('apiserver')}",
        f"--tls-private-key-file={key('apiserver')}",
        f"--kubelet-certificate-authority={certificate('ca')}",
        f"--kubelet-client-certificate={certificate('apiserver-kubelet-client')}",
        f"--kubelet-client-key={key('apiserver-kubelet-client')}",
        # Without this, logs and exec try to resolve the node's name.
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={authority.folder / 'sa.pub'}",
        f"--service-account-signing-key-file={key('sa')}",
        f"--requestheader-client-ca-file={certificate('front-proxy-ca')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={certificate('front-proxy-client')}",
        f"--proxy-client-key-file={key('front-proxy-client')}",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={paths.audit_log}",
        f"--audit-log-maxsize={AUDIT_FILE_MEGABYTES}",
        f"--audit-log-maxbackup={AUDIT_FILES}",
    ]


def _controller_manager_flags(authority: Authority, config: Path) -> list[str]:
    return [
        f"--kubeconfig={config}",
        "--leader-elect=false",
        "--profiling=false",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=false",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--root-ca-file={authority.certificate('ca')}",
        f"--service-account-private-key-file={authority.key('sa')}",
        f"--cluster-signing-cert-file={authority.certificate('ca')}",
        f"--cluster-signing-key-file={authority.key('ca')}",
    ]
