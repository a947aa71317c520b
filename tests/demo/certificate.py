"""A self-signed certificate for the gateway, so that RTMPS is on in the demo and in the tests."""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["fits", "tls_secret"]

_LIFETIME = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)


def tls_secret(name: str, host: str, now: datetime) -> dict[str, Any]:
    """A Secret of type kubernetes.io/tls; ``host`` is a name or an address."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sluice-gateway")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": base64.b64encode(public).decode(),
            "tls.key": base64.b64encode(private).decode(),
        },
    }


def fits(secret: dict[str, Any] | None, host: str, now: datetime) -> bool:
    """Whether there is one for this host already: another one would replace the gateway's pods."""
    if secret is None:
        return False
    pem = base64.b64decode(secret["data"]["tls.crt"])
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    valid = certificate.not_valid_after_utc - now.astimezone(UTC) > _RENEW_BEFORE
    return valid and _general_name(host) in list(names)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
