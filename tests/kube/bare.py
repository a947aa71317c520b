"""The cluster without Docker: starts, inspects and removes upstream's own components.

Every step can be repeated. Running processes stay, and ended processes are started again. ``down``
cleans up after an orderly end and after ``kill -9``.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kube import (
    binaries,
    certs,
    cgroups,
    containerd,
    control_plane,
    dns,
    image_loading,
    kubeconfig,
    mounts,
    netns,
    node,
    packages,
    scratch_image,
    storage,
    tools,
)
from tests.kube.api import Api, ApiError
from tests.kube.commands import run
from tests.kube.console import say, step
from tests.kube.errors import KubeToolError
from tests.kube.files import write_if_changed
from tests.kube.images import ImageBuilder
from tests.kube.layout import HOST_ADDRESS, MAX_NODES, Node, node_named, nodes
from tests.kube.paths import Paths
from tests.kube.processes import Supervisor

__all__ = ["BareCluster", "node_ready"]

READY_SECONDS = 90.0


def node_ready(body: dict[str, object]) -> bool:
    """Return whether a Node object's condition Ready is True."""
    status = body.get("status")
    conditions = status.get("conditions", []) if isinstance(status, dict) else []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@dataclass(frozen=True, slots=True)
class BareCluster:
    """The bare cluster of a state folder."""

    paths: Paths

    @property
    def supervisor(self) -> Supervisor:
        """Supervisor of the cluster's daemons."""
        return Supervisor(self.paths.pids, self.paths.logs)

    def node_count(self) -> int:
        """Number of nodes that the cluster was made with; 0 without a cluster."""
        try:
            text = (self.paths.state / "cluster.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return 0
        return int(json.loads(text)["nodes"])

    def prepare(self, stop: threading.Event | None = None) -> None:
        """Build the cluster's programs. Build kubectl and helm only if the PATH has no suitable
        version.

        Raises:
            KubeToolError: no usable Go, or a build that failed.
        """
        needed = {binary for _, binary in binaries.Binaries(self.paths).missing(binaries.DEFAULT)}
        needed -= {tool for tool in tools.TOOLS if tool in needed and tools.on_path(tool)}
        binaries.build(self.paths, binaries.DEFAULT, only=needed, stop=stop)

    def up(self, count: int) -> None:
        """Bring the cluster up with at least ``count`` nodes.

        Raises:
            KubeToolError: not root, a missing package, or a component that does not start
                (with the end of its log).
        """
        if os.geteuid() != 0:
            raise KubeToolError("the bare cluster makes network namespaces: run it as root")
        if absent := packages.missing(packages.BARE):
            raise KubeToolError(
                f"missing packages: {', '.join(absent)}; run: python3 -m tests.kube packages"
            )
        count = max(count, self.node_count())
        all_nodes = nodes(count)
        if self.healthy(all_nodes):
            return
        self.prepare()
        archives = scratch_image.archives(self.paths)
        with step(f"starting {count} node{'s' if count > 1 else ''}"):
            write_if_changed(self.paths.state / "cluster.json", json.dumps({"nodes": count}))
            self._start(all_nodes, archives)

    def _start(self, all_nodes: Sequence[Node], archives: Sequence[os.PathLike[str]]) -> None:
        first, built = all_nodes[0], binaries.Binaries(self.paths)
        authority = certs.create_pki(self.paths.pki, all_nodes)
        server = control_plane.server_url(first)
        kubeconfig.write(self.paths.kubeconfig, authority, "admin", server)
        for each in all_nodes:
            netns.create(each)
        netns.set_routes(all_nodes)
        for daemon in control_plane.daemons(self.paths, built, authority, first):
            self.supervisor.ensure(daemon)
        for each in all_nodes:
            self._start_runtime(each, archives)
        api = self.api()
        self._wait(api.ready, "the API server", ["kube-apiserver", "etcd"])
        self._wait(lambda: _applied(api, first), "the API server's defaults", ["kube-apiserver"])
        self.supervisor.ensure(dns.daemon(self.paths, built, authority, first, server))
        provisioner = self.paths.config / "provisioner.kubeconfig"
        kubeconfig.write(provisioner, authority, "provisioner", server)
        self.supervisor.ensure(storage.daemon(self.paths))
        for each in all_nodes:
            cgroups.create(each.cgroup)
            for daemon in node.daemons(self.paths, built, authority, each, server):
                self.supervisor.ensure(daemon)
        names = self.daemon_names(all_nodes)
        self._wait(lambda: self.healthy(all_nodes), "the cluster", list(reversed(names)))

    def _start_runtime(self, each: Node, archives: Sequence[os.PathLike[str]]) -> None:
        daemon = containerd.daemon(self.paths, each)
        if self.supervisor.ensure(daemon):
            self._wait(
                lambda: containerd.answers(self.paths, each), f"{daemon.name}", [daemon.name]
            )
            for archive in archives:
                run([*containerd.ctr(self.paths, each), "images", "import", os.fspath(archive)])

    def _wait(self, done: Callable[[], bool], what: str, daemons: Sequence[str]) -> None:
        """Poll until ``done`` is true. Fail early if one of the daemons has ended."""
        deadline = time.monotonic() + READY_SECONDS
        while not done():
            dead = [name for name in daemons if not self.supervisor.running(name)]
            late = time.monotonic() > deadline
            if dead or late:
                name = (dead or daemons)[0]
                log = self.supervisor.log(name)
                raise KubeToolError(
                    f"{what} did not come up ({name} {'ended' if dead else 'is silent'}); "
                    f"its log {log} ends with:\n{self.supervisor.log_tail(name)}"
                )
            time.sleep(0.05)

    def daemon_names(self, all_nodes: Sequence[Node]) -> list[str]:
        """Return the names of all daemons of a healthy cluster."""
        control = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        per_node = [name for each in all_nodes for name in node.names(each)]
        return [*control, dns.NAME, "provisioner", *per_node]

    def healthy(self, all_nodes: Sequence[Node]) -> bool:
        """Return whether all daemons run, DNS answers, all nodes are Ready, and pods can be
        created."""
        if not all(self.supervisor.running(name) for name in self.daemon_names(all_nodes)):
            return False
        if not dns.answers(all_nodes[0]):
            return False
        try:
            api = self.api()
            found = api.request("GET", "/api/v1/nodes", timeout=3.0)["items"]
            api.request("GET", "/api/v1/namespaces/default/serviceaccounts/default", timeout=3.0)
        except (ApiError, OSError):
            return False
        ready = {item["metadata"]["name"] for item in found if node_ready(item)}
        return {each.name for each in all_nodes} <= ready

    def api(self) -> Api:
        """Return a client with the administrator's rights.

        Raises:
            KubeToolError: no cluster was made.
        """
        try:
            return Api.from_kubeconfig(self.paths.kubeconfig)
        except FileNotFoundError as error:
            raise KubeToolError("no cluster; run: python3 -m tests.kube up") from error

    def down(self) -> None:
        """Remove the cluster and everything that it left on the machine. Without a cluster, do
        nothing."""
        for name in reversed(self.supervisor.names()):
            # No daemon needs an orderly end: containers and data are removed with the state folder.
            self.supervisor.stop(name, force=True)
        stuck = []
        for each in nodes(MAX_NODES):
            containerd.kill_shims(self.paths, each)
            if not cgroups.kill_all(each.cgroup):
                stuck.append(each.name)
            netns.remove(each)
            cgroups.remove(each.cgroup)
            containerd.remove_cni_results(each)
        netns.remove_bridge()
        if self.paths.state.exists():
            mounts.unmount_below(self.paths.state)
            shutil.rmtree(self.paths.state)
        if stuck:
            raise KubeToolError(
                f"processes of {', '.join(stuck)} do not end (waiting for a disk?); "
                "look with ps for state D, then run down again"
            )

    def status(self) -> tuple[bool, list[str]]:
        """Return whether the cluster is healthy, and a line about each of its parts."""
        count = self.node_count()
        if count == 0:
            return False, ["no cluster; run: python3 -m tests.kube up"]
        lines = []
        for name in self.daemon_names(nodes(count)):
            state = "running" if self.supervisor.running(name) else "NOT RUNNING"
            lines.append(f"{name}: {state}")
        healthy = self.healthy(nodes(count))
        lines.append(f"cluster: {'healthy' if healthy else 'NOT HEALTHY'}")
        return healthy, lines

    def environment(self) -> dict[str, str]:
        """Return facts about the cluster for tests and people, as shell variables."""
        all_nodes = nodes(self._count())
        return {
            "KUBECONFIG": str(self.paths.kubeconfig),
            "PROVIDER": "bare",
            "NODES": ",".join(each.name for each in all_nodes),
            "NODE_IP": all_nodes[0].address,
            "HOST_IP": HOST_ADDRESS,
            "AUDIT_LOG": str(self.paths.audit_log),
            "KUBECTL": tools.locate(self.paths, "kubectl"),
            "HELM": tools.locate(self.paths, "helm"),
            "TOOLS_IMAGE": scratch_image.TOOLS_IMAGE,
        }

    def load_archives(self, archives: Sequence[Path]) -> None:
        """Import image archives on every node."""
        image_loading.load_archives(self.paths, nodes(self._count()), archives)

    def load_images(self, references: Sequence[str]) -> None:
        """Copy images of the cache to every node that lacks them."""
        layout = ImageBuilder(self.paths, use_docker=False).layout
        image_loading.load_images(self.paths, nodes(self._count()), layout, references)

    def stop_node(self, name: str, mode: str) -> None:
        """Make a node fail.

        Args:
            name: the node; the first one carries the control plane and can only lose its
                kubelet, kube-proxy and containerd.
            mode: ``processes`` kills kubelet, kube-proxy and containerd and leaves its pods
                running; ``network`` pulls its cable; ``power`` kills everything on it at once.

        Raises:
            KubeToolError: the first node, or one that is not part of the cluster.
        """
        each = self._member(name)
        if each.is_first and mode != "processes":
            raise KubeToolError(f"{each.name} carries the control plane: stop another node")
        if mode in ("network", "power"):
            netns.set_link(each, up=False)
        if mode in ("processes", "power"):
            for daemon in reversed(node.names(each)):
                self.supervisor.stop(daemon, force=True)
        if mode == "power":
            containerd.kill_shims(self.paths, each)
            cgroups.kill_all(each.cgroup)
        say(f"{each.name} is stopped ({mode})")

    def start_node(self, name: str) -> None:
        """Start a stopped node again and wait until it is Ready."""
        each = self._member(name)
        before = self._heartbeat(each)
        netns.set_link(each, up=True)
        self.up(self.node_count())
        # A dead node stays Ready for fifty seconds, so only a new heartbeat proves that it runs.
        kubelet = node.names(each)[1]
        self._wait(lambda: self._heartbeat(each) != before, f"{name}'s heartbeat", [kubelet])

    def _heartbeat(self, each: Node) -> str:
        """Return the time of the last renewal of the lease of the node's kubelet; empty before the
        first."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{each.name}"
        try:
            return str(self.api().request("GET", path)["spec"]["renewTime"])
        except ApiError:
            return ""

    def _count(self) -> int:
        if count := self.node_count():
            return count
        raise KubeToolError("no cluster; run: python3 -m tests.kube up")

    def _member(self, name: str) -> Node:
        each = node_named(name)
        if each.index > self.node_count():
            raise KubeToolError(
                f"{each.name} is not part of the cluster; run: "
                f"python3 -m tests.kube up --nodes {each.index}"
            )
        return each


def _applied(api: Api, first: Node) -> bool:
    try:
        dns.publish(api, first)
        storage.publish(api)
    except ApiError:
        return False
    return True
