"""TLS towards a target: its certificate is verified, always."""

from __future__ import annotations

import ssl

from sluice_media.push.target import InvalidTargetError

__all__ = ["client_context"]


def client_context(ca_pem: str | None) -> ssl.SSLContext:
    """For one target. ``ca_pem``: certificates that count instead of the public authorities.

    Raises InvalidTargetError when they cannot be read.
    """
    if ca_pem is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError):
        raise InvalidTargetError(
            "InvalidCertificate",
            "The Secret with the authority's certificate holds no certificate in PEM form.",
        ) from None
    return context
