"""Kubeconfig files with inlined certificates, so that one file is enough."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tests.kube.certs import Authority
from tests.kube.files import write_if_changed

__all__ = ["build", "write"]


def build(server: str, ca: bytes, certificate: bytes, key: bytes) -> dict[str, object]:
    """Return a kubeconfig for one client certificate (PEM in, base64 inside)."""

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode("ascii")

    name = "sluice"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": encoded(ca)},
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": encoded(certificate),
                    "client-key-data": encoded(key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def write(path: Path, authority: Authority, client: str, server: str) -> Path:
    """Write the kubeconfig of a client certificate as JSON, which is valid YAML. Only the owner can
    read the file.

    Args:
        path: the file to write.
        authority: folder of the certificates.
        client: the certificate's file name without ending.
        server: the API server's URL.
    """
    config = build(
        server,
        authority.certificate("ca").read_bytes(),
        authority.certificate(client).read_bytes(),
        authority.key(client).read_bytes(),
    )
    return write_if_changed(path, json.dumps(config, indent=2) + "\n", mode=0o600)
