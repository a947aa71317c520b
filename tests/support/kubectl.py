"""A thin, synchronous kubectl for tests: objects in and out as dicts, waiting with a reason."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["Kubectl", "KubectlError", "condition"]

Object = dict[str, Any]


class KubectlError(AssertionError):
    """kubectl said no; the text is what it printed."""


def condition(obj: Mapping[str, Any], type_: str) -> dict[str, Any]:
    """The condition of that type, or an empty dict."""
    for entry in obj.get("status", {}).get("conditions", []):
        if entry["type"] == type_:
            return dict(entry)
    return {}


@dataclass(slots=True, frozen=True)
class Kubectl:
    binary: str
    kubeconfig: str
    namespace: str = "default"

    def __call__(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """Runs kubectl in this namespace and returns what it printed."""
        done = subprocess.run(
            [
                self.binary,
                f"--kubeconfig={self.kubeconfig}",
                f"--namespace={self.namespace}",
                *args,
            ],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if check and done.returncode:
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr

    def within(self, namespace: str) -> Kubectl:
        return Kubectl(self.binary, self.kubeconfig, namespace)

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> Object:
        """The object; raises KubectlError when it is not there."""
        found: Object = json.loads(self("get", kind, name, "-o", "json"))
        return found

    def find(self, kind: str, name: str) -> Object | None:
        text = self("get", kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def list(self, kind: str, *args: str) -> list[Object]:
        items: list[Object] = json.loads(self("get", kind, *args, "-o", "json"))["items"]
        return items

    def patch(self, kind: str, name: str, body: Mapping[str, Any], *args: str) -> None:
        self("patch", kind, name, "--type=merge", "-p", json.dumps(body), *args)

    def delete(self, kind: str, name: str, *args: str) -> None:
        self("delete", kind, name, "--ignore-not-found", *args)

    def status(self, kind: str, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get(kind, name).get("status", {})
        return status

    def wait(
        self,
        kind: str,
        name: str,
        until: Callable[[Object], object],
        *,
        why: str,
        seconds: float = 60,
    ) -> Object:
        """Waits until ``until(object)`` is true; the object as it then was. An object that has
        no status yet is shown with an empty one.

        Fails with ``why`` and the last status otherwise."""
        deadline = time.monotonic() + seconds
        last: Object = {}
        while time.monotonic() < deadline:
            last = self.find(kind, name) or {}
            if last and until(last | {"status": last.get("status", {})}):
                return last
            time.sleep(0.2)
        status = json.dumps(last.get("status", last), indent=1)
        raise AssertionError(f"{kind}/{name}: {why}: not within {seconds:.0f} s; status: {status}")

    def wait_condition(
        self, kind: str, name: str, type_: str, status: str = "True", *, seconds: float = 60
    ) -> Object:
        return self.wait(
            kind,
            name,
            lambda o: condition(o, type_).get("status") == status,
            why=f"condition {type_}={status}",
            seconds=seconds,
        )
