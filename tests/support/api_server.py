"""Requests to the API server over one connection that stays open, with any kubeconfig.

Each call of kubectl is a process of 60 MB that reads its caches and makes a new TLS connection, and
tests read objects thousands of times. ``kubectl proxy`` logs in once, by the means that the
kubeconfig names (certificate, token, a cloud's plugin), and forwards plain HTTP from a Unix socket.
"""

from __future__ import annotations

import atexit
import http.client
import json
import math
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

__all__ = ["ApiServer", "RefusalError", "Resource", "api_server"]

Object = dict[str, Any]

START_SECONDS = 60
REQUEST_SECONDS = 60
_WATCH_SECONDS = 5
_UNTIL_STDIN_ENDS = '"$@" & proxy=$!; read -r _; kill $proxy; wait $proxy'
"""Script for sh: a command that ends when the process that started it ends, even by SIGKILL."""
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class RefusalError(Exception):
    """A refusal of the API server, with its message; ``status`` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True, frozen=True)
class Resource:
    """The API path of a kind."""

    kind: str
    api_version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        root = "/api/" if "/" not in self.api_version else "/apis/"
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        end = f"/{quote(name)}" if name else ""
        return f"{root}{self.api_version}{within}/{self.plural}{end}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=REQUEST_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ApiServer:
    """A client of the API server: objects in and out as dicts. Several threads may share it."""

    def __init__(self, binary: str, kubeconfig: str) -> None:
        self._command = (binary, f"--kubeconfig={kubeconfig}", "proxy")
        self._folder = Path(tempfile.mkdtemp(prefix="sluice-api-"))
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection = _UnixConnection(self._folder / "socket")
        self._resources: dict[str, Resource] = {}

    def start(self) -> Self:
        path = self._folder / "socket"
        path.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            ["sh", "-c", _UNTIL_STDIN_ENDS, "sh", *self._command, f"--unix-socket={path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._connection.connect()
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError("kubectl proxy does not start") from error
                time.sleep(0.02)
            else:
                return self

    def close(self) -> None:
        self._connection.close()
        if self._process is not None:
            self._process.communicate(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Send a request. Repeat it once when the connection was closed in the meantime.

        Raises:
            RefusalError: the API server refuses, or does not answer (status 502).
        """
        url = f"{path}?{urlencode(query)}" if query else path
        payload = None if body is None else json.dumps(body)
        headers = {"Accept": accept, "Content-Type": content_type}
        with self._turn:
            status, text = self._exchange(method, url, payload, headers)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text.decode("utf-8", "replace").strip()}
        if status >= 400:
            raise RefusalError(status, str(answer.get("message", answer)))
        return dict(answer)

    def text(self, path: str) -> str:
        """Return the body of a GET as text.

        Raises:
            RefusalError: the API server refuses, or does not answer (status 502).
        """
        with self._turn:
            status, body = self._exchange("GET", path, None, {})
        text = body.decode("utf-8", "replace")
        if status >= 400:
            raise RefusalError(status, text)
        return text

    def _exchange(
        self, method: str, url: str, payload: str | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        for attempt in (1, 2):
            try:
                self._connection.request(method, url, payload, dict(headers))
                response = self._connection.getresponse()
                return response.status, response.read()
            except (http.client.HTTPException, OSError) as error:
                self._connection.close()
                # A write may have been carried out: only a read is safe to repeat.
                if attempt == 2 or method != "GET":
                    raise RefusalError(502, f"no answer from the API server: {error!r}") from error
        raise AssertionError("unreachable")

    def states(
        self, resource: Resource, namespace: str, name: str, seconds: float
    ) -> Iterator[Object | None]:
        """Yield the object as it is now, and then after each change, for ``seconds``.

        None: the object does not exist. The present state comes again every few seconds, because
        the caller's condition may depend on other things too. Raises RefusalError."""
        path = resource.path(namespace)
        query = {"fieldSelector": f"metadata.name={name}"}
        same = {"apiVersion": resource.api_version, "kind": resource.kind}
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            listed = self.request("GET", path, query=query)
            yield next((same | item for item in listed["items"]), None)
            watch = {
                **query,
                "watch": "true",
                "resourceVersion": listed["metadata"]["resourceVersion"],
                "timeoutSeconds": str(math.ceil(min(left, _WATCH_SECONDS))),
            }
            for event in self._events(path, watch):
                if event["type"] == "ERROR":  # the version is too old: list again
                    break
                yield None if event["type"] == "DELETED" else event["object"]

    def _events(self, path: str, query: Mapping[str, str]) -> Iterator[Object]:
        """Yield the events of a watch until it ends. It uses a connection of its own."""
        connection = _UnixConnection(self._folder / "socket")
        try:
            connection.request("GET", f"{path}?{urlencode(query)}")
            response = connection.getresponse()
            if response.status >= 400:
                raise RefusalError(response.status, response.read().decode("utf-8", "replace"))
            for line in response:
                yield json.loads(line)
        except (http.client.HTTPException, OSError):
            time.sleep(0.2)  # the API server is away: the next list says so
        finally:
            connection.close()

    def resource(self, name: str) -> Resource:
        """Return the resource by a name that kubectl accepts: ``pods``, ``pod``, ``Pod``, ``po``,
        ``crd``, …

        Raises:
            RefusalError: the API server does not serve this kind.
        """
        if name.lower() not in self._resources:
            self._discover()
        if name.lower() not in self._resources:
            raise RefusalError(404, f'the server doesn\'t have a resource type "{name}"')
        return self._resources[name.lower()]

    def _discover(self) -> None:
        groups: list[Object] = []
        for root in ("/api", "/apis"):
            groups += self.request("GET", root, accept=_DISCOVERY)["items"]
        for group in groups:
            name = group.get("metadata", {}).get("name", "")
            version = group["versions"][0]
            api_version = f"{name}/{version['version']}" if name else version["version"]
            for entry in version.get("resources", ()):
                kind = entry.get("responseKind", {}).get("kind", "")
                found = Resource(
                    kind, api_version, entry["resource"], entry["scope"] == "Namespaced"
                )
                names = [found.plural, f"{found.plural}.{name}", entry.get("singularResource")]
                for alias in (*names, kind.lower(), *entry.get("shortNames", ())):
                    if alias:
                        self._resources.setdefault(alias, found)


@cache
def api_server(binary: str, kubeconfig: str) -> ApiServer:
    """Return the client of this process, which lives from its first use to the end of the
    process."""
    started = ApiServer(binary, kubeconfig).start()
    atexit.register(started.close)
    return started
