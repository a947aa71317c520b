"""Authorities that verify the certificates of TLS servers. Every certificate is verified."""

from __future__ import annotations

import ssl


class InvalidAuthorityError(ValueError):
    """The authority's certificate cannot be read. The message quotes nothing of it."""


def client_context(authority_pem: str | None) -> ssl.SSLContext:
    """Return a context for clients.

    ``authority_pem`` holds certificates that replace the public authorities. Raises
    InvalidAuthorityError when it contains none.
    """
    if authority_pem is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Bundles name authorities in comments, in any script. Python accepts only ASCII.
    ascii_pem = authority_pem.encode("ascii", "ignore").decode()
    try:
        context.load_verify_locations(cadata=ascii_pem)
    except (ssl.SSLError, ValueError):
        raise InvalidAuthorityError(
            "The Secret of the authority's certificate contains no certificate in PEM form. "
            "Put the certificate there."
        ) from None
    return context
