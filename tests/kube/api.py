"""A small Kubernetes client on the standard library: JSON in, JSON out, and watches.

The tool needs no more. A kubectl process for each request would cost more than the request.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Api", "ApiError"]

JsonObject = dict[str, Any]


class ApiError(Exception):
    """The API server answered with an error, or did not answer (``status`` 0)."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"API server: {status} {text}" if status else f"API server: {text}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Api:
    """A client of one API server, with one client certificate."""

    host: str
    port: int
    context: ssl.SSLContext

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Api:
        """Read a kubeconfig in JSON with inlined certificates, in the format of the module
        ``kubeconfig``."""
        config = json.loads(path.read_text(encoding="utf-8"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode("ascii")
        context = ssl.create_default_context(cadata=ca)
        # The ssl module loads a client's key from a file only.
        with tempfile.NamedTemporaryFile() as pem:
            for field in ("client-certificate-data", "client-key-data"):
                pem.write(base64.b64decode(user[field]))
            pem.flush()
            context.load_cert_chain(pem.name)
        server = urlsplit(cluster["server"])
        return cls(server.hostname or "", server.port or 443, context)

    def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content_type: str = "application/json",
        timeout: float = 10.0,
    ) -> JsonObject:
        """Send a request. An answer that is not JSON is returned as ``{"text": …}``.

        Raises:
            ApiError: the server refused, or could not be reached.
        """
        payload = None if body is None else json.dumps(body)
        connection = http.client.HTTPSConnection(
            self.host, self.port, timeout=timeout, context=self.context
        )
        try:
            connection.request(method, path, payload, {"Content-Type": content_type})
            response = connection.getresponse()
            text = response.read().decode("utf-8", errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(0, str(error)) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise ApiError(response.status, text.strip()[:500])
        try:
            return dict(json.loads(text))
        except ValueError:
            return {"text": text}

    def apply(self, path: str, body: Mapping[str, Any]) -> JsonObject:
        """Apply one object on the server side, at its full path."""
        query = "?fieldManager=sluice-kube&force=true"
        return self.request(
            "PATCH", path + query, body, content_type="application/apply-patch+yaml"
        )

    def ready(self) -> bool:
        """Return whether the API server reports that it is ready."""
        try:
            return self.request("GET", "/readyz", timeout=2.0) == {"text": "ok"}
        except ApiError:
            return False

    def watch(self, path: str, *, idle_seconds: float = 300.0) -> Iterator[JsonObject]:
        """Yield every object that exists, then every change, as watch events. End with the
        connection.

        Raises:
            ApiError: the server could not be reached or refused the list or the watch.
        """
        listed = self.request("GET", path)
        for item in listed["items"]:
            yield {"type": "ADDED", "object": item}
        version = listed["metadata"]["resourceVersion"]
        query = f"?watch=1&resourceVersion={version}&timeoutSeconds={int(idle_seconds)}"
        connection = http.client.HTTPSConnection(
            self.host, self.port, timeout=idle_seconds + 10, context=self.context
        )
        try:
            connection.request("GET", path + query)
            response = connection.getresponse()
            if response.status >= 400:
                raise ApiError(response.status, response.read().decode("utf-8", "replace"))
            while line := response.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ApiError(0, str(error)) from error
        finally:
            connection.close()
