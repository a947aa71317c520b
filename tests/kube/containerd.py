"""One containerd per node: its configuration, its pod network, and its client."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.kube import netns
from tests.kube.commands import run
from tests.kube.errors import KubeToolError
from tests.kube.files import write_if_changed
from tests.kube.layout import Node
from tests.kube.paths import Paths
from tests.kube.processes import Daemon, kill_pids

__all__ = [
    "PAUSE_IMAGE",
    "config_toml",
    "ctr",
    "daemon",
    "kill_shims",
    "network_config",
    "shim_socket",
    "socket",
]

PAUSE_IMAGE = "localhost/sluice-pause:1"
CNI_PLUGINS = Path("/usr/lib/cni")
CNI_RESULTS = Path("/var/lib/cni/results")
#: sun_path of unix(7) holds 108 bytes including the final zero.
SOCKET_PATH_LIMIT = 107


def socket(paths: Paths, node: Node) -> Path:
    """Return the node's containerd socket.

    Raises:
        KubeToolError: the state folder's path is too long for a unix socket.
    """
    path = paths.node(node.name) / "containerd.sock"
    if len(str(path)) > SOCKET_PATH_LIMIT - len(".ttrpc"):
        raise KubeToolError(f"{paths.state} is too long a path for a socket: shorten SLUICE_STATE")
    return path


def config_toml(paths: Paths, node: Node) -> str:
    """Return containerd's configuration (version 2)."""
    home = paths.node(node.name)
    return f"""\
version = 2
root = "{home}/containerd"
state = "{home}/run"
oom_score = 0

[grpc]
  address = "{socket(paths, node)}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE runc fails otherwise ("can't get final child's PID from pipe: EOF").
  restrict_oom_score_adj = true
  # Pods' network namespaces are removed with the state folder.
  netns_mounts_under_state_dir = true
  max_container_log_line_size = 65536

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{home}/cni"
"""


def network_config(paths: Paths, node: Node) -> dict[str, object]:
    """Return the pod network (CNI 1.0): a bridge inside the node, and the node's range of
    addresses."""
    return {
        "cniVersion": "1.0.0",
        "name": node.netns,
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                # The node masquerades by its own rule, so addresses between pods stay unchanged.
                "ipMasq": False,
                "hairpinMode": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(paths.node(node.name) / "ipam"),
                    "ranges": [[{"subnet": node.pod_cidr}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def daemon(paths: Paths, node: Node) -> Daemon:
    """Write the configuration of the node's containerd; return its daemon."""
    if not (CNI_PLUGINS / "bridge").exists():
        raise KubeToolError(f"no CNI plugins in {CNI_PLUGINS}; run: python3 -m tests.kube packages")
    home = paths.node(node.name)
    network = json.dumps(network_config(paths, node), indent=2)
    write_if_changed(home / "cni" / "10-sluice.conflist", network)
    config = write_if_changed(home / "containerd.toml", config_toml(paths, node))
    return Daemon(
        f"containerd-{node.name}",
        [*netns.enter(node), "containerd", "--config", str(config), "--log-level", "warn"],
    )


def ctr(paths: Paths, node: Node) -> list[str]:
    """Return the start of a ``ctr`` command in the containerd namespace of kubelet."""
    return ["ctr", "--address", str(socket(paths, node)), "--namespace", "k8s.io"]


def answers(paths: Paths, node: Node) -> bool:
    """Return whether the node's containerd serves requests."""
    try:
        run([*ctr(paths, node), "version"], timeout=5.0)
    except KubeToolError:
        return False
    return True


def shim_socket(command_line: bytes) -> str | None:
    """Return the socket of the containerd to which a shim belongs; None if the process is no shim.
    ``command_line`` is the content of ``/proc/PID/cmdline``."""
    words = command_line.decode("utf-8", errors="replace").split("\0")
    if Path(words[0]).name != "containerd-shim-runc-v2" or "-address" not in words:
        return None
    return words[words.index("-address") + 1]


def kill_shims(paths: Paths, node: Node) -> None:
    """Kill the shims of this node's containerd. They outlive containerd by design."""
    kill_pids(_shims(str(socket(paths, node))), signal.SIGKILL)


def _shims(address: str) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                command_line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if shim_socket(command_line) == address:
                yield int(folder.name)


def remove_cni_results(node: Node) -> None:
    """Remove the files that the network plugins keep about this node's pods."""
    for path in CNI_RESULTS.glob(f"{node.netns}-*-eth0"):
        container = path.name.removeprefix(f"{node.netns}-").removesuffix("-eth0")
        path.unlink(missing_ok=True)
        (CNI_RESULTS / f"cni-loopback-{container}-lo").unlink(missing_ok=True)
