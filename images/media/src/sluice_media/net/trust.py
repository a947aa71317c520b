"""Whose certificates count when we dial with TLS. They are verified, always."""

from __future__ import annotations

import ssl


class InvalidAuthorityError(ValueError):
    """The message says what is wrong, and quotes nothing."""


def client_context(authority_pem: str | None) -> ssl.SSLContext:
    """A context for clients. ``authority_pem``: certificates that count instead of the public
    authorities. Raises InvalidAuthorityError when there are none in it."""
    if authority_pem is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Bundles have names of authorities as comments, in any script; Python takes ASCII alone.
    ascii_pem = authority_pem.encode("ascii", "ignore").decode()
    try:
        context.load_verify_locations(cadata=ascii_pem)
    except (ssl.SSLError, ValueError):
        raise InvalidAuthorityError(
            "The Secret with the authority's certificate holds no certificate in PEM form."
        ) from None
    return context
