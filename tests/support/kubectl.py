"""A thin, synchronous kubectl for tests: objects in and out as dicts, waiting with a reason.

Commands of users run kubectl itself (calls, ``apply``, ``delete``). Reads are sent directly to the
API server: a process for each of thousands of reads would take most of the time.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import yaml

from tests.support.api_server import ApiServer, RefusalError, api_server

__all__ = ["Kubectl", "KubectlError", "condition"]

Object = dict[str, Any]


class KubectlError(AssertionError):
    """A refusal of kubectl or the API server; the text is the reason."""


def condition(obj: Mapping[str, Any], type_: str) -> dict[str, Any]:
    """Return the condition of that type, or an empty dict."""
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
        """Run kubectl in this namespace; return its output."""
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

    @property
    def api(self) -> ApiServer:
        return api_server(self.binary, self.kubeconfig)

    def create(self, obj: Mapping[str, Any], *, dry_run: bool = False) -> None:
        """Create one object; unlike ``apply``, without a process. A field that is not in the schema
        is an error."""
        query = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        kind = obj["kind"]
        try:
            path = self.api.resource(kind).path(self.namespace)
            self.api.request("POST", path, obj, query=query)
        except RefusalError as error:
            raise KubectlError(f"create {kind}: {error}") from error

    def get(self, kind: str, name: str) -> Object:
        """Return the object. Raises KubectlError if it does not exist."""
        try:
            return _shown(self._request("GET", kind, name))
        except RefusalError as error:
            raise KubectlError(f"get {kind} {name}: {error}") from error

    def find(self, kind: str, name: str) -> Object | None:
        try:
            return _shown(self._request("GET", kind, name))
        except RefusalError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise KubectlError(f"get {kind} {name}: {error}") from error

    def list(self, kinds: str, *selectors: str) -> list[Object]:
        """Return all objects of these kinds (``pods,services``) that ``"-l", LABELS`` and
        ``--field-selector=FIELDS`` select."""
        query = _query(selectors)
        found: list[Object] = []
        for kind in kinds.split(","):
            try:
                resource = self.api.resource(kind)
                listed = self.api.request("GET", resource.path(self.namespace), query=query)
            except RefusalError as error:
                raise KubectlError(f"get {kind}: {error}") from error
            # The API server omits apiVersion and kind in the items of a list.
            same = {"apiVersion": resource.api_version, "kind": resource.kind}
            found += [_shown(same | item) for item in listed["items"]]
        return found

    def patch(self, kind: str, name: str, body: Mapping[str, Any]) -> None:
        """Send a JSON merge patch."""
        try:
            self._request("PATCH", kind, name, body, content_type="application/merge-patch+json")
        except RefusalError as error:
            raise KubectlError(f"patch {kind} {name}: {error}") from error

    def apply_on_server(self, obj: Mapping[str, Any]) -> None:
        """Apply one object on the server side. Fields of the former apply that are missing now are
        removed."""
        kind, name = obj["kind"], obj["metadata"]["name"]
        query = {"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"}
        content_type = "application/apply-patch+yaml"
        try:
            self._request("PATCH", kind, name, obj, content_type=content_type, query=query)
        except RefusalError as error:
            raise KubectlError(f"apply {kind} {name}: {error}") from error

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
        seconds: float = 90,
    ) -> Object:
        """Wait until ``until(object)`` is true; return that object. An object without a status gets
        an empty one.

        After ``seconds``, fail with ``why`` and the last status."""
        last: Object = {}
        try:
            for state in self.api.states(self.api.resource(kind), self.namespace, name, seconds):
                last = _shown(state) if state else {}
                if last and until(last | {"status": last.get("status", {})}):
                    return last
        except RefusalError as error:
            raise KubectlError(f"watch {kind} {name}: {error}") from error
        status = json.dumps(last.get("status", last), indent=1)
        raise AssertionError(f"{kind}/{name}: {why}: not within {seconds:.0f} s; status: {status}")

    def wait_condition(
        self, kind: str, name: str, type_: str, status: str = "True", *, seconds: float = 90
    ) -> Object:
        return self.wait(
            kind,
            name,
            lambda o: condition(o, type_).get("status") == status,
            why=f"condition {type_}={status}",
            seconds=seconds,
        )

    def _request(
        self,
        method: str,
        kind: str,
        name: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        path = self.api.resource(kind).path(self.namespace, name)
        return self.api.request(method, path, body, content_type=content_type, query=query)


def _query(selectors: Sequence[str]) -> dict[str, str]:
    """Return the query for the API server, from kubectl's arguments."""
    query = {}
    left = iter(selectors)
    for word in left:
        option, _, value = word.partition("=")
        match option:
            case "-l":
                query["labelSelector"] = next(left)
            case "--field-selector":
                query["fieldSelector"] = value
            case _:
                raise ValueError(f"not a selector: {word}")
    return query


def _shown(obj: Object) -> Object:
    """Return the object as kubectl shows it: without managedFields."""
    obj["metadata"].pop("managedFields", None)
    return obj
