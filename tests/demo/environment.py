"""Which cluster the demo works on, and which images it uses there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.demo.console import DemoError
from tests.kube.tools import on_path
from tests.support.kubectl import Kubectl

__all__ = ["REPOSITORY", "Environment", "existing", "local", "run_tool"]

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(slots=True, frozen=True)
class Environment:
    kubectl: Kubectl
    helm: str
    public_host: str | None
    """Address of a node, for a gateway of type NodePort; None: the load balancer says it."""
    images: dict[str, str]
    """``operator``, ``media`` and ``edge`` -> image reference"""


def run_tool(*args: str, capture: bool = True) -> str:
    """Runs the cluster tool; its progress goes to the terminal. Raises DemoError."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.kube", *args],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE if capture else None,
        text=True,
    )
    if done.returncode:
        raise DemoError(f"`python3 -m tests.kube {' '.join(args)}` failed; see above")
    return done.stdout or ""


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def local() -> Environment:
    """The local cluster, which must be up, with the images loaded."""
    env = _pairs(run_tool("env"))
    return Environment(
        kubectl=Kubectl(env["KUBECTL"], env["KUBECONFIG"]),
        helm=env["HELM"],
        public_host=env["NODE_IP"],
        images=_pairs(run_tool("images", "--print")),
    )


def existing(*, push: bool) -> Environment:
    """The cluster that KUBECONFIG names. With ``push``, the images are brought to the registry
    that REGISTRY names, from where the cluster pulls them; without, there are none."""
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig:
        raise DemoError("set KUBECONFIG to the cluster that the demo shall use")
    registry = os.environ.get("REGISTRY")
    if push and not registry:
        raise DemoError(
            "set REGISTRY to where your cluster pulls images from, e.g. REGISTRY=example.org/me; "
            "the demo pushes the images there with your Docker login"
        )
    # Of kubectl any version will do that the user has for this cluster.
    tools = {"kubectl": shutil.which("kubectl"), "Helm 4": on_path("helm")}
    if push:
        tools["docker"] = shutil.which("docker")
    missing = [name for name, path in tools.items() if path is None]
    if missing:
        raise DemoError(f"put {' and '.join(missing)} on the PATH first")
    return Environment(
        kubectl=Kubectl(str(tools["kubectl"]), kubeconfig),
        helm=str(tools["Helm 4"]),
        public_host=None,
        images=_push(registry) if push and registry else {},
    )


def _push(registry: str) -> dict[str, str]:
    images = {}
    for role, reference in _pairs(run_tool("images", "--print")).items():
        images[role] = f"{registry.rstrip('/')}/{reference.rsplit('/', 1)[1]}"
        for command in (
            ["docker", "tag", reference, images[role]],
            ["docker", "push", images[role]],
        ):
            if subprocess.run(command).returncode:
                raise DemoError(f"`{' '.join(command)}` failed; see above")
    return images
