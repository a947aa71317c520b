"""The cluster on machines with Docker: kind, with the interface of the bare cluster.

Machines without Docker test only its configuration and its command lines. It differs from the bare
cluster: claims of the default class bind when their first pod starts, there is no class
``sluice-sized``, and the tools image is pulled from its registry.
"""

from __future__ import annotations

import json
import platform
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kube import tools
from tests.kube.commands import run, succeeds
from tests.kube.console import say, step
from tests.kube.control_plane import AUDIT_FILE_MEGABYTES, AUDIT_FILES, audit_policy
from tests.kube.errors import KubeToolError
from tests.kube.files import write_if_changed
from tests.kube.layout import POD_NETWORK, SERVICE_NETWORK
from tests.kube.paths import Paths
from tests.kube.reach import public_host

__all__ = ["NODE_PORTS", "KindCluster", "audit_patches", "cluster_config", "load_command"]

NAME = "sluice"
TOOLS_IMAGE = "busybox:1.37"
POLICY_FOLDER = "/etc/kubernetes/sluice-audit-policy"
LOG_FOLDER = "/var/log/sluice-audit"
#: Node ports that the host forwards, for systems on which the host cannot reach containers.
NODE_PORTS: Sequence[tuple[int, str]] = (
    (30080, "TCP"),
    (31935, "TCP"),
    (31936, "TCP"),
    (31890, "UDP"),
    (31980, "TCP"),
    (31981, "TCP"),
    (31189, "UDP"),
)


def audit_patches() -> list[dict[str, object]]:
    """kubeadm patches that switch the audit log on, one per version of kubeadm's configuration.

    kind applies the patch of the right version. Flags are a map in the older version and a list in
    the newer one.
    """
    flags = {
        "audit-policy-file": f"{POLICY_FOLDER}/audit-policy.json",
        "audit-log-path": f"{LOG_FOLDER}/audit.log",
        "audit-log-maxsize": str(AUDIT_FILE_MEGABYTES),
        "audit-log-maxbackup": str(AUDIT_FILES),
    }
    volumes = [
        {
            "name": name,
            "hostPath": folder,
            "mountPath": folder,
            "readOnly": read_only,
            "pathType": "DirectoryOrCreate",
        }
        for name, folder, read_only in (
            ("audit-policy", POLICY_FOLDER, True),
            ("audit-log", LOG_FOLDER, False),
        )
    ]
    by_version: dict[str, object] = {
        "v1beta3": flags,
        "v1beta4": [{"name": name, "value": value} for name, value in flags.items()],
    }
    return [
        {
            "apiVersion": f"kubeadm.k8s.io/{version}",
            "kind": "ClusterConfiguration",
            "apiServer": {"extraArgs": arguments, "extraVolumes": volumes},
        }
        for version, arguments in by_version.items()
    ]


def cluster_config(count: int, policy_folder: Path, log_folder: Path) -> dict[str, object]:
    """Return kind's configuration: networks, node ports, audit log. The second node and later ones
    are workers."""
    control_plane: dict[str, object] = {
        "role": "control-plane",
        "extraPortMappings": [
            {"containerPort": port, "hostPort": port, "protocol": protocol}
            for port, protocol in NODE_PORTS
        ],
        "extraMounts": [
            {"hostPath": str(policy_folder), "containerPath": POLICY_FOLDER, "readOnly": True},
            {"hostPath": str(log_folder), "containerPath": LOG_FOLDER},
        ],
        "kubeadmConfigPatches": [json.dumps(patch) for patch in audit_patches()],
    }
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {"podSubnet": POD_NETWORK, "serviceSubnet": SERVICE_NETWORK},
        "nodes": [control_plane, *({"role": "worker"} for _ in range(count - 1))],
    }


def load_command(kind: str, what: str, subject: str) -> list[str]:
    """Return the command ``kind load docker-image`` or ``kind load image-archive``."""
    return [kind, "load", what, subject, "--name", NAME]


@dataclass(frozen=True, slots=True)
class KindCluster:
    """The kind cluster called ``sluice``."""

    paths: Paths

    def exists(self) -> bool:
        """Return whether ``up`` made the cluster. Its containers may have stopped since."""
        return (self.paths.state / "kind.json").exists()

    def prepare(self, stop: threading.Event | None = None) -> None:
        """Build those of kind, kubectl and helm of which the PATH has no suitable version.

        Raises:
            KubeToolError: no usable Go, or a build that failed.
        """
        tools.ensure(self.paths, tools.TOOLS, stop)

    def up(self, count: int) -> None:
        """Create the cluster unless it exists and answers.

        Raises:
            KubeToolError: Docker does not answer, kind failed, or the cluster that exists has
                fewer nodes than requested (kind cannot add nodes).
        """
        self.prepare()
        kind, kubectl = self._tool("kind"), self._tool("kubectl")
        if NAME in run([kind, "get", "clusters"]).split():
            if len(self._nodes()) < count:
                raise KubeToolError(
                    "kind adds no nodes to a cluster; run: python3 -m tests.kube down, then up"
                )
            words = [kubectl, "--kubeconfig", str(self.paths.kubeconfig), "wait", "nodes", "--all"]
            run([*words, "--for=condition=Ready", "--timeout=90s"])
            return
        self.paths.audit_log.parent.mkdir(parents=True, exist_ok=True)
        policy = json.dumps(audit_policy(), indent=2)
        write_if_changed(self.paths.config / "audit-policy.json", policy)
        config = cluster_config(count, self.paths.config, self.paths.audit_log.parent)
        record = self.paths.state / "kind.json"
        write_if_changed(record, json.dumps(config, indent=2))
        with step(f"creating a kind cluster of {count}"):
            words = [kind, "create", "cluster", "--name", NAME, "--config", str(record)]
            run([*words, "--kubeconfig", str(self.paths.kubeconfig), "--wait", "180s"])

    def down(self) -> None:
        """Delete the cluster and the state folder."""
        if not self.exists():
            return
        run([self._tool("kind"), "delete", "cluster", "--name", NAME])
        shutil.rmtree(self.paths.state, ignore_errors=True)

    def status(self) -> tuple[bool, list[str]]:
        """Return kind's nodes as Kubernetes sees them."""
        if not self.exists():
            return False, ["no cluster; run: python3 -m tests.kube up"]
        kubectl = [self._tool("kubectl"), "--kubeconfig", str(self.paths.kubeconfig)]
        healthy = succeeds(
            [*kubectl, "wait", "nodes", "--all", "--for=condition=Ready", "--timeout=2s"]
        )
        try:
            lines = run([*kubectl, "get", "nodes"], timeout=10.0).splitlines()
        except KubeToolError as error:
            lines = [str(error)]
        return healthy, [*lines, f"cluster: {'healthy' if healthy else 'NOT HEALTHY'}"]

    def environment(self) -> dict[str, str]:
        """Return facts about the cluster, under the names that the bare cluster uses."""
        if not self.exists():
            raise KubeToolError("no cluster; run: python3 -m tests.kube up")
        return {
            "KUBECONFIG": str(self.paths.kubeconfig),
            "PROVIDER": "kind",
            "NODES": ",".join(self._nodes()),
            "NODE_IP": self._public_host(),
            "HOST_IP": self._gateway(),
            "AUDIT_LOG": str(self.paths.audit_log),
            "KUBECTL": self._tool("kubectl"),
            "HELM": self._tool("helm"),
            "TOOLS_IMAGE": TOOLS_IMAGE,
        }

    def load_archives(self, archives: Sequence[Path]) -> None:
        """Bring image archives to every node."""
        for archive in archives:
            run(load_command(self._tool("kind"), "image-archive", str(archive)))

    def load_images(self, references: Sequence[str]) -> None:
        """Copy images from the Docker daemon to every node. kind skips images that a node has."""
        for reference in references:
            with step(f"loading {reference}"):
                run(load_command(self._tool("kind"), "docker-image", reference))

    def stop_node(self, name: str, mode: str) -> None:
        """Make a node fail, see ``BareCluster.stop_node``."""
        words = {
            "processes": ["exec", name, "systemctl", "stop", "kubelet", "containerd"],
            "network": ["network", "disconnect", "kind", name],
            "power": ["kill", name],
        }
        run(["docker", *words[mode]])
        say(f"{name} is stopped ({mode})")

    def start_node(self, name: str) -> None:
        """Undo ``stop_node``, in every mode, and wait until the node is Ready."""
        run(["docker", "start", name])
        # Docker reports an error if the node is still connected, which is the desired state.
        succeeds(["docker", "network", "connect", "kind", name])
        run(["docker", "exec", name, "systemctl", "start", "containerd", "kubelet"])
        words = [self._tool("kubectl"), "--kubeconfig", str(self.paths.kubeconfig)]
        run([*words, "wait", f"node/{name}", "--for=condition=Ready", "--timeout=90s"])

    def _nodes(self) -> list[str]:
        names = run([self._tool("kind"), "get", "nodes", "--name", NAME]).split()
        # The control plane comes first, because callers expect it on the first node.
        return sorted(names, key=lambda name: ("control-plane" not in name, name))

    def _public_host(self) -> str:
        docker = run(["docker", "info", "--format", "{{.OperatingSystem}}"])
        return public_host(platform.system(), platform.release(), docker, self._node_address())

    def _node_address(self) -> str:
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return run(["docker", "inspect", "-f", template, f"{NAME}-control-plane"]).strip()

    def _gateway(self) -> str:
        template = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
        gateways = run(["docker", "network", "inspect", "kind", "-f", template]).split()
        return next((gateway for gateway in gateways if "." in gateway), "")

    def _tool(self, name: str) -> str:
        return tools.locate(self.paths, name)
