"""Installs or upgrades the chart with the real Helm."""

from __future__ import annotations

import subprocess

from tests.demo.console import DemoError
from tests.demo.environment import REPOSITORY, Environment

__all__ = ["SYSTEM_NAMESPACE", "install", "uninstall"]

SYSTEM_NAMESPACE = "sluice-system"
RTMP_NODE_PORT = 31935


def install(env: Environment) -> None:
    """Raises DemoError when Helm says no or the pods do not become ready."""
    values = ["--set", "gateway.terminationGracePeriodSeconds=30"]
    for role, reference in env.images.items():
        repository, tag = reference.rsplit(":", 1)
        values += ["--set-string", f"{role}.image.repository={repository}"]
        values += ["--set-string", f"{role}.image.tag={tag}"]
    if env.public_host is not None:
        values += ["--set", "gateway.service.type=NodePort"]
        values += ["--set", f"gateway.service.nodePorts.rtmp={RTMP_NODE_PORT}"]
        values += ["--set-string", f"gateway.publicHost={env.public_host}"]
    command = [env.helm, "upgrade", "--install", "sluice", str(REPOSITORY / "charts" / "sluice")]
    command += ["--kubeconfig", env.kubectl.kubeconfig, "--namespace", SYSTEM_NAMESPACE]
    command += ["--create-namespace", "--take-ownership", "--wait", "--timeout", "180s", *values]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pods = env.kubectl.within(SYSTEM_NAMESPACE)("get", "pods", check=False)
        raise DemoError(f"Helm could not install Sluice:\n{done.stderr}\n{pods}")


def uninstall(env: Environment) -> None:
    command = [env.helm, "uninstall", "sluice", "--kubeconfig", env.kubectl.kubeconfig]
    subprocess.run(
        [*command, "--namespace", SYSTEM_NAMESPACE, "--wait", "--ignore-not-found"], check=True
    )
