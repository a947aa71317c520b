"""A small certificate authority on openssl, for the certificates of all components.

Files are made once and kept. A certificate that exists is not checked, because ``down`` removes the
whole folder. Keys are P-256: thirty of them take less than a second.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kube.commands import run
from tests.kube.layout import (
    API_SERVICE_ADDRESS,
    CLUSTER_DOMAIN,
    Node,
)

__all__ = ["Authority", "Subject", "create_pki", "subjects"]

DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Subject:
    """The content of one certificate: its owner, and the names that it is valid for."""

    file: str
    common_name: str
    organization: str = ""
    alternative_names: Sequence[str] = ()
    """``DNS:…`` and ``IP:…`` entries. A certificate without entries is a client certificate."""
    authority: str = "ca"

    @property
    def distinguished_name(self) -> str:
        """Subject in the format of openssl."""
        organization = f"/O={self.organization}" if self.organization else ""
        return f"{organization}/CN={self.common_name}"

    @property
    def extensions(self) -> str:
        """The X.509 v3 extensions, in openssl's configuration format."""
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature,keyEncipherment",
            "extendedKeyUsage=clientAuth,serverAuth",
        ]
        if self.alternative_names:
            lines.append(f"subjectAltName={','.join(self.alternative_names)}")
        return "\n".join(lines) + "\n"


def subjects(all_nodes: Sequence[Node]) -> list[Subject]:
    """Return every certificate of a cluster with these nodes."""
    kubernetes = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    names = [
        *(f"DNS:{name}" for name in kubernetes),
        f"DNS:kubernetes.default.svc.{CLUSTER_DOMAIN}",
        "DNS:localhost",
        "IP:127.0.0.1",
        f"IP:{API_SERVICE_ADDRESS}",
        f"IP:{all_nodes[0].address}",
    ]
    return [
        Subject("apiserver", "kube-apiserver", alternative_names=names),
        Subject("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Subject("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
        Subject("admin", "kubernetes-admin", "system:masters"),
        Subject("provisioner", "sluice-provisioner", "system:masters"),
        Subject("controller-manager", "system:kube-controller-manager"),
        Subject("scheduler", "system:kube-scheduler"),
        Subject("proxy", "system:kube-proxy"),
        Subject("coredns", "system:coredns"),
        *(
            Subject(
                f"kubelet-{node.name}",
                f"system:node:{node.name}",
                "system:nodes",
                [f"DNS:{node.name}", f"IP:{node.address}"],
            )
            for node in all_nodes
        ),
    ]


@dataclass(frozen=True, slots=True)
class Authority:
    """A folder of certificates and keys."""

    folder: Path

    def certificate(self, name: str) -> Path:
        """Return the certificate's PEM file."""
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the private key's PEM file."""
        return self.folder / f"{name}.key"

    def create_root(self, name: str) -> None:
        """Make a self-signed authority unless it exists."""
        if self.certificate(name).exists():
            return
        self._new_key(name)
        words = ["openssl", "req", "-x509", "-new", "-key", str(self.key(name)), "-days", DAYS]
        extensions = ["-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"]
        output = self.folder / f"{name}.tmp"
        run([*words, "-subj", f"/CN=sluice-{name}", *extensions, "-out", output])
        output.replace(self.certificate(name))

    def issue(self, subject: Subject) -> None:
        """Make a certificate signed by the subject's authority unless it exists."""
        if self.certificate(subject.file).exists():
            return
        self._new_key(subject.file)
        extensions = self.folder / f"{subject.file}.ext"
        extensions.write_text(subject.extensions, encoding="ascii")
        dn = ["-subj", subject.distinguished_name]
        request = run(["openssl", "req", "-new", "-key", self.key(subject.file), *dn])
        signer = [
            *("-CA", str(self.certificate(subject.authority))),
            *("-CAkey", str(self.key(subject.authority))),
            *("-set_serial", str(int.from_bytes(os.urandom(8), "big") >> 1)),
        ]
        output = self.folder / f"{subject.file}.tmp"
        run(
            [
                *("openssl", "x509", "-req", *signer, "-days", DAYS),
                *("-extfile", str(extensions), "-out", str(output)),
            ],
            stdin=request,
        )
        extensions.unlink()
        output.replace(self.certificate(subject.file))

    def create_service_account_key(self) -> None:
        """Make the key pair that signs service account tokens unless it exists."""
        public = self.folder / "sa.pub"
        if public.exists():
            return
        self._new_key("sa")
        output = public.with_suffix(".tmp")
        run(["openssl", "pkey", "-in", self.key("sa"), "-pubout", "-out", output])
        output.replace(public)

    def _new_key(self, name: str) -> None:
        curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        run(["openssl", "genpkey", *curve, "-out", self.key(name)])
        self.key(name).chmod(0o600)


def create_pki(folder: Path, all_nodes: Sequence[Node]) -> Authority:
    """Make the missing certificates of a cluster."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = Authority(folder)
    for root in ("ca", "front-proxy-ca"):
        authority.create_root(root)
    authority.create_service_account_key()
    for subject in subjects(all_nodes):
        authority.issue(subject)
    return authority
