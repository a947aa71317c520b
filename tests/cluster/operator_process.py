"""The operator as a process on this machine, serving one namespace of a real API server.

While it runs, an operator that is installed for all namespaces is scaled to zero: both would
reconcile the same objects.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kube.layout import POD_NETWORK, SERVICE_NETWORK
from tests.support.kubectl import Kubectl
from tests.support.ports import free_port

__all__ = ["HostOperator", "installed_operator_paused", "installed_settings", "running"]

REPOSITORY = Path(__file__).resolve().parents[2]
OPERATOR = "app.kubernetes.io/component=operator"


@dataclass(slots=True)
class HostOperator:
    """One operator process; its settings are for a namespace of the test's own."""

    kubectl: Kubectl
    log_path: Path
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def start(self, *, wait_seconds: float = 60) -> None:
        """Starts it and waits until it is ready."""
        self.port = free_port()
        settings = {
            "KUBECONFIG": self.kubectl.kubeconfig,
            "PYTHONPATH": f"{REPOSITORY / 'operator/src'}:{REPOSITORY / 'images/media/src'}",
            "SLUICE_NAMESPACE": self.kubectl.namespace,
            "SLUICE_WATCH_NAMESPACES": self.kubectl.namespace,
            "SLUICE_MEDIA_IMAGE": "localhost/no-such-image:0",
            "SLUICE_IMAGE_PULL_POLICY": "Never",
            "SLUICE_NETWORK_CLUSTER_RANGES": f"{POD_NETWORK},{SERVICE_NETWORK}",
            "SLUICE_BIND": "127.0.0.1",
            "SLUICE_PORT": str(self.port),
            **self.env,
        }
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sluice_operator", "run"],
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._await_ready(wait_seconds)

    def _await_ready(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            try:
                self.get("/readyz")
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
            else:
                return
        raise AssertionError(f"the operator is not ready:\n{self.log_path.read_text()[-4000:]}")

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def is_leading(self) -> bool:
        return "sluice_leading 1.0" in self.get("/metrics")

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ends it and returns its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        self.process = None
        return code

    def log(self) -> str:
        return self.log_path.read_text()


@contextmanager
def running(operator: HostOperator) -> Iterator[HostOperator]:
    """Start the operator; stop it afterwards, and print the end of its log."""
    operator.start()
    try:
        yield operator
    finally:
        operator.stop()
        print(operator.log()[-6000:])


def installed_settings(system: Kubectl) -> dict[str, str]:
    """Return the settings of the installed operator, for an operator process outside the cluster.

    It works in another namespace, and reads the status of pods through the API server."""
    deployment = system.get("deployment", "sluice-operator")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    settings = {e["name"]: str(e["value"]) for e in container["env"] if "value" in e}
    for name in ("SLUICE_NAMESPACE", "SLUICE_LEASE_NAME", "SLUICE_WATCH_NAMESPACES"):
        settings.pop(name, None)
    return settings | {
        "SLUICE_GATEWAY_NAMESPACE": system.namespace,
        "SLUICE_OBSERVE_MODE": "proxy",
    }


@contextmanager
def installed_operator_paused(system: Kubectl) -> Iterator[None]:
    """An operator that is installed rests meanwhile, unless it minds other namespaces anyway."""
    found = system.find("deployment", "sluice-operator")
    replicas = found["spec"].get("replicas", 1) if found and _minds_all(found) else 0
    if replicas:
        system("scale", "deployment/sluice-operator", "--replicas=0")
        system("wait", "--for=delete", "pod", "-l", OPERATOR, "--timeout=120s")
    try:
        yield
    finally:
        if replicas:
            system("scale", "deployment/sluice-operator", f"--replicas={replicas}")
            system("rollout", "status", "deployment/sluice-operator", "--timeout=120s")


def _minds_all(deployment: dict[str, Any]) -> bool:
    containers = deployment["spec"]["template"]["spec"]["containers"]
    env = {e["name"]: e.get("value") for c in containers for e in c.get("env", ())}
    return not env.get("SLUICE_WATCH_NAMESPACES")
