"""Test of a running cluster with kubectl, as a user sees it: storage, Services, names, Pod
Security, audit log. It prints the measured times."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.kube.commands import run, succeeds
from tests.kube.console import say
from tests.kube.errors import KubeToolError

__all__ = ["SelfTest", "manifests"]

NAMESPACE = "sluice-selftest"
#: Node port that kind's configuration forwards from the host.
FORWARDED_PORT = 30080
TIMEOUT = "60s"


def _restricted(name: str, image: str, command: list[str]) -> dict[str, Any]:
    """Return a container that Pod Security ``restricted`` accepts."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {"limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def manifests(image: str, node_port: int | None = None) -> list[dict[str, Any]]:
    """Return a namespace, a claim, a web server that writes to it, and its Service.

    Args:
        image: an image with busybox's programs.
        node_port: the Service's node port; absent: the cluster chooses one.
    """
    port = {"port": 80, "targetPort": 8080, **({"nodePort": node_port} if node_port else {})}
    labels = {"app": "web"}
    script = "echo hello > /data/index.html && exec httpd -f -p 8080 -h /data"
    container = _restricted("web", image, ["sh", "-c", script])
    container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": NAMESPACE},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "64Mi"}},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "site", "namespace": NAMESPACE},
            "spec": {
                "type": "NodePort",
                "selector": labels,
                "ports": [port],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": NAMESPACE, "labels": labels},
            "spec": {
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "fsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            },
        },
    ]


class SelfTest:
    """A run of the test against a cluster, given by its environment (see
    ``Cluster.environment``)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._kubectl = [environment["KUBECTL"], "--kubeconfig", environment["KUBECONFIG"]]
        self._namespaced = [*self._kubectl, "--namespace", NAMESPACE]

    def run(self) -> None:
        """Run every check and clean up.

        Raises:
            KubeToolError: the first check that failed.
        """
        self._delete()
        try:
            self._pod_with_claim()
            self._names()
            self._node_port()
            self._pod_security()
            self._audit()
        finally:
            self._delete()
        self._volumes_removed()

    def _pod_with_claim(self) -> None:
        started = time.monotonic()
        port = FORWARDED_PORT if self._environment["NODE_IP"] == "127.0.0.1" else None
        items = manifests(self._environment["TOOLS_IMAGE"], port)
        objects = {"apiVersion": "v1", "kind": "List", "items": items}
        run([*self._kubectl, "apply", "-f", "-"], stdin=json.dumps(objects))
        bound = ["--for=jsonpath={.status.phase}=Bound", f"--timeout={TIMEOUT}"]
        run([*self._namespaced, "wait", "pvc/data", *bound])
        _report("a claim is bound", started)
        run([*self._namespaced, "wait", "pod/web", "--for=condition=Ready", f"--timeout={TIMEOUT}"])
        _report("a restricted pod serves from it", started)

    def _names(self) -> None:
        inside = [*self._namespaced, "exec", "web", "--"]
        started = time.monotonic()
        url = f"http://site.{NAMESPACE}.svc.cluster.local/"
        # kube-proxy gets the ready pod a moment later than kubectl.
        fetch = [*inside, "timeout", "2", "wget", "-q", "-O", "-", url]
        while not succeeds(fetch):
            _expect(time.monotonic() - started < 10, f"no answer from {url} within 10 s")
        _expect(run(fetch).strip() == "hello", f"{url} did not answer hello")
        _report("a pod reaches a Service by name", started)
        started = time.monotonic()
        found = succeeds([*inside, "nslookup", f"nobody.{NAMESPACE}.svc.cluster.local"])
        _expect(not found, "DNS knows a Service that does not exist")
        _report("an unknown name is refused", started)

    def _node_port(self) -> None:
        words = ["get", "service/site", "-o", "jsonpath={.spec.ports[0].nodePort}"]
        url = f"http://{self._environment['NODE_IP']}:{run([*self._namespaced, *words])}/"
        started = time.monotonic()
        deadline = started + 10
        while True:
            try:
                with urllib.request.urlopen(url, timeout=2.0) as response:
                    text = response.read().decode()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise KubeToolError(f"node port {url}: {error}") from error
                time.sleep(0.1)
        _expect(text.strip() == "hello", f"{url} answered {text!r} instead of hello")
        _report("the host reaches a node port", started)

    def _pod_security(self) -> None:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "root", "namespace": NAMESPACE},
            "spec": {
                "containers": [{"name": "root", "image": self._environment["TOOLS_IMAGE"]}],
            },
        }
        started = time.monotonic()
        try:
            run([*self._kubectl, "apply", "-f", "-"], stdin=json.dumps(pod))
        except KubeToolError as error:
            _expect("restricted" in str(error), f"refused for another reason: {error}")
        else:
            raise KubeToolError("Pod Security let a privileged pod in")
        _report("Pod Security refuses a root pod", started)

    def _audit(self) -> None:
        path = Path(self._environment["AUDIT_LOG"])
        started = time.monotonic()
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise KubeToolError(f"the audit log can not be read: {error}") from error
        _expect(NAMESPACE in text, f"{path} has no line about what was just made")
        _report("the audit log has our writes", started)

    def _volumes_removed(self) -> None:
        started = time.monotonic()
        claims = "jsonpath={.items[*].spec.claimRef.namespace}"
        while NAMESPACE in run([*self._kubectl, "get", "pv", "-o", claims]).split():
            _expect(time.monotonic() - started < 30, "a volume outlived its claim by 30 s")
            time.sleep(0.1)
        _report("volumes go with their claims", started)

    def _delete(self) -> None:
        words = ["delete", "namespace", NAMESPACE, "--ignore-not-found", f"--timeout={TIMEOUT}"]
        run([*self._kubectl, *words])


def _report(what: str, started: float) -> None:
    say(f"ok: {what} ({time.monotonic() - started:.1f} s)")


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise KubeToolError(otherwise)
