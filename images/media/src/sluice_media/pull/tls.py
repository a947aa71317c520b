"""TLS towards a source whose certificate is of an authority that the user names.

Other sources' certificates are verified with the public authorities; verified they are always.
"""

from __future__ import annotations

import ssl

from pydantic import SecretStr

__all__ = ["InvalidAuthorityError", "authority_context"]


class InvalidAuthorityError(ValueError):
    """The message says what is wrong, and quotes nothing."""


def authority_context(authority: SecretStr) -> ssl.SSLContext:
    """A context that trusts these PEM certificates and no others. Raises InvalidAuthorityError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Bundles have names of authorities as comments, in any script; Python takes ASCII alone.
    pem = authority.get_secret_value().encode("ascii", "ignore").decode()
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise InvalidAuthorityError(
            "The Secret with the authority's certificate holds no certificate in PEM form."
        ) from None
    return context
