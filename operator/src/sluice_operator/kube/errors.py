"""What can go wrong at the API server, in the terms that the engine decides by.

Source: the ``Status`` object of the Kubernetes API conventions (its ``reason`` and ``code``).
"""

from __future__ import annotations

from collections.abc import Set


class ApiError(Exception):
    """A request that the API server, or the way to it, did not fulfil."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """What the server asked for (header ``Retry-After``), if it did."""


class NotFoundError(ApiError):
    """404: no such object, or no such kind."""


class ConflictError(ApiError):
    """409: the object is not the one, or not in the version, that the request was made for."""


class AlreadyExistsError(ConflictError):
    """409 of a create: the name is taken."""


class ForbiddenError(ApiError):
    """403: RBAC, a quota or an admission policy said no."""


class NamespaceTerminatingError(ApiError):
    """403: nothing new may be made in a namespace that is being deleted; it goes by itself."""


class InvalidError(ApiError):
    """400 or 422: the object is refused as it stands; the same request will not succeed later."""


class ExpiredError(ApiError):
    """410: the continuation of a chunked list, or a resource version, is too old."""


class UnauthorizedError(ApiError):
    """401: the credentials count no longer."""


class UnavailableError(ApiError):
    """No answer, a 5xx or a 429: the same request may succeed later."""


_BY_CODE: dict[int, type[ApiError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: InvalidError,
    409: ConflictError,
    410: ExpiredError,
    415: InvalidError,
    422: InvalidError,
}


def error_of(code: int, reason: str, message: str, causes: Set[str] = frozenset()) -> ApiError:
    """The error for an HTTP status code and, out of the Status object beside it, the ``reason``
    and the reasons of ``details.causes``."""
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExistsError(message)
    if code == 403 and "NamespaceTerminating" in causes:
        return NamespaceTerminatingError(message)
    return _BY_CODE.get(code, UnavailableError)(message)
