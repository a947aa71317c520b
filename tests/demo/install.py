"""Installs or upgrades the chart with the real Helm."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

from tests.demo.certificate import fits, tls_secret
from tests.demo.console import DemoError
from tests.demo.environment import REPOSITORY, Environment
from tests.kube.layout import POD_NETWORK, SERVICE_NETWORK

__all__ = ["SYSTEM_NAMESPACE", "install", "uninstall"]

SYSTEM_NAMESPACE = "sluice-system"
GATEWAY_NAME = f"sluice-gateway.{SYSTEM_NAMESPACE}.svc.cluster.local"
CERTIFICATE = "sluice-gateway-tls"
NODE_PORTS = {"rtmp": 31935, "rtmps": 31936, "srt": 31890}
WHIP_NODE_PORTS = {"http": 31980, "media": 31189}
EDGE_NODE_PORTS = {"http": 31981}


def install(env: Environment) -> None:
    """Raises DemoError when Helm says no or the pods do not become ready."""
    values: dict[str, Any] = {
        role: {"image": _image(reference)} for role, reference in env.images.items()
    }
    values |= {
        # What the demo takes for a platform is a stream of the same installation.
        "network": {"allowedNames": [GATEWAY_NAME]},
        "gateway": {"terminationGracePeriodSeconds": 30},
        "whip": {"terminationGracePeriodSeconds": 30},
    }
    if env.public_host is not None:
        _make_certificate(env, env.public_host)
        values["gateway"] |= {
            "service": {"type": "NodePort", "nodePorts": NODE_PORTS},
            "publicHost": env.public_host,
            "rtmps": {"enabled": True, "secretName": CERTIFICATE},
        }
        values["whip"] |= {"service": {"nodePorts": WHIP_NODE_PORTS}}
        values["edge"] = values.get("edge", {}) | {"service": {"nodePorts": EDGE_NODE_PORTS}}
        values["network"] |= {"clusterRanges": [POD_NETWORK, SERVICE_NETWORK]}
    command = [env.helm, "upgrade", "--install", "sluice", str(REPOSITORY / "charts" / "sluice")]
    command += ["--kubeconfig", env.kubectl.kubeconfig, "--namespace", SYSTEM_NAMESPACE]
    command += [
        "--create-namespace",
        "--take-ownership",
        "--force-conflicts",
        "--wait",
        "--timeout",
        "180s",
    ]
    done = subprocess.run(
        [*command, "--values", "-"], input=json.dumps(values), capture_output=True, text=True
    )
    if done.returncode:
        pods = env.kubectl.within(SYSTEM_NAMESPACE)("get", "pods", check=False)
        raise DemoError(f"Helm could not install Sluice:\n{done.stderr}\n{pods}")


def _image(reference: str) -> dict[str, str]:
    repository, tag = reference.rsplit(":", 1)
    return {"repository": repository, "tag": tag}


def _make_certificate(env: Environment, host: str) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM_NAMESPACE}}
    env.kubectl.apply(namespace)
    system, now = env.kubectl.within(SYSTEM_NAMESPACE), datetime.now(UTC)
    if not fits(system.find("secret", CERTIFICATE), host, now):
        system.apply(tls_secret(CERTIFICATE, host, now))


def uninstall(env: Environment) -> None:
    command = [env.helm, "uninstall", "sluice", "--kubeconfig", env.kubectl.kubeconfig]
    subprocess.run(
        [*command, "--namespace", SYSTEM_NAMESPACE, "--wait", "--ignore-not-found"], check=True
    )
