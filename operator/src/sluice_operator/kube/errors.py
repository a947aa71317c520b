"""Errors of requests to the API server: one class for each case that the engine handles
differently.

Source: the ``Status`` object of the Kubernetes API conventions (its ``reason`` and ``code``).
"""

from __future__ import annotations

from collections.abc import Set


class ApiError(Exception):
    """A request that failed at the API server or on the way to it."""

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """Value of the header ``Retry-After``; None without the header."""


class NotFoundError(ApiError):
    """404: no such object, or no such kind."""


class ConflictError(ApiError):
    """409: the request names another uid or version than the object has."""


class AlreadyExistsError(ConflictError):
    """409 of a create: the name is taken."""


class ForbiddenError(ApiError):
    """403: RBAC, a quota or an admission policy refuses the request."""


class NamespaceTerminatingError(ApiError):
    """403: the namespace is being deleted, so no object can be created in it."""


class InvalidError(ApiError):
    """400 or 422: the object is invalid. The same request will not succeed later."""


class ExpiredError(ApiError):
    """410: the continue token of a list, or a resource version, is too old."""


class UnauthorizedError(ApiError):
    """401: the credentials are invalid or expired."""


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
    """Return the error for an HTTP status code and its Status object.

    ``reason`` is the field of the Status object; ``causes`` are the reasons in its
    ``details.causes``."""
    if code == 409 and reason == "AlreadyExists":
        return AlreadyExistsError(message)
    if code == 403 and "NamespaceTerminating" in causes:
        return NamespaceTerminatingError(message)
    return _BY_CODE.get(code, UnavailableError)(message)
