"""Errors of a storage as a reason in one word and a message.

In: exceptions of obstore and of the operating system. Out: :class:`StorageError`. A storage's own
text quotes URLs, access keys and the signed string. It does not leave this module: only the S3
error code and the HTTP status are read from it, to choose the reason. Source of the codes: Amazon
S3 API Reference, "Error responses"; codes of other servers are marked.
"""

from __future__ import annotations

import errno
import os
import re

from obstore import exceptions


class StorageError(RuntimeError):
    """The storage refused or failed. ``reason`` is one word (AccessDenied, NoSuchBucket,
    Unreachable, SlowDown, NoSpace, Tls, Timeout, Incomplete, WrongRegion, ReadOnly,
    InputOutputError, StoreFailed); the text is a message without any secret."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MissingObjectError(StorageError):
    """The object does not exist."""

    def __init__(self) -> None:
        super().__init__("NotFound", "there is no such object")


_DENIED = ("AccessDenied", "the store denies access: the credentials lack the permission")
_REFUSED = ("AccessDenied", "the store does not accept the credentials")
_NO_SPACE = ("NoSpace", "no space is left in the store")
_SLOW_DOWN = ("SlowDown", "the store asks to slow down")
_ALTERED = ("Incomplete", "the store received other bytes than were sent")
_WRONG_REGION = ("WrongRegion", "the bucket is in another region than the one that is configured")

_BY_CODE = {
    "NoSuchBucket": ("NoSuchBucket", "the bucket does not exist"),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _DENIED,
    "InvalidAccessKeyId": _REFUSED,
    "XAdminUserNotFound": _REFUSED,  # versitygw, with status 404
    "SignatureDoesNotMatch": _REFUSED,
    "InvalidToken": _REFUSED,
    "ExpiredToken": ("AccessDenied", "the credentials of the store have expired"),
    "RequestTimeTooSkewed": (
        "AccessDenied",
        "the store refuses requests because its clock and this node's differ by too much",
    ),
    "SlowDown": _SLOW_DOWN,
    "ServiceUnavailable": _SLOW_DOWN,
    "SlowDownRead": _SLOW_DOWN,  # MinIO
    "SlowDownWrite": _SLOW_DOWN,  # MinIO
    "TooManyRequests": _SLOW_DOWN,
    "RequestLimitExceeded": _SLOW_DOWN,
    "QuotaExceeded": ("NoSpace", "the quota of the bucket is used up"),  # Ceph
    "XMinioAdminBucketQuotaExceeded": ("NoSpace", "the quota of the bucket is used up"),
    "XMinioStorageFull": _NO_SPACE,
    "InsufficientStorage": _NO_SPACE,
    "BadDigest": _ALTERED,
    "InvalidDigest": _ALTERED,
    "XAmzContentSHA256Mismatch": _ALTERED,
    "XAmzContentChecksumMismatch": _ALTERED,
    "IncompleteBody": ("Incomplete", "the store received fewer bytes than were sent"),
    "RequestTimeout": ("Timeout", "the store did not get all bytes in time"),
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "PermanentRedirect": _WRONG_REGION,
    "IllegalLocationConstraintException": _WRONG_REGION,
}
_BY_STATUS = {
    "401": _REFUSED,
    "403": _DENIED,
    "301": _WRONG_REGION,
    "408": ("Timeout", "the store did not answer in time"),
    "429": _SLOW_DOWN,
    "503": _SLOW_DOWN,
    "504": ("Timeout", "the store did not answer in time"),
    "507": _NO_SPACE,
}
_BY_ERRNO = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: ("NoSpace", "the disk quota of the store is used up"),
    errno.EROFS: ("ReadOnly", "the store is mounted read-only"),
    errno.EACCES: ("AccessDenied", "the store may not be written or read: access denied"),
    errno.EPERM: ("AccessDenied", "the store may not be written or read: access denied"),
    errno.EIO: ("InputOutputError", "the disk of the store reports an input/output error"),
    errno.EUCLEAN: ("InputOutputError", "the file system of the store is damaged"),
    errno.ENXIO: ("InputOutputError", "the disk of the store is not there any more"),
    errno.ENODEV: ("InputOutputError", "the disk of the store is not there any more"),
    errno.ESTALE: ("InputOutputError", "the file system of the store is not there any more"),
}
_NETWORK = (
    ("kind: Timeout", "Timeout", "the store did not answer in time"),
    ("TimedOut", "Timeout", "the store did not answer in time"),
    ("invalid peer certificate", "Tls", "the certificate of the store cannot be verified"),
    ("InvalidCertificate", "Tls", "the certificate of the store cannot be verified"),
    ("AlertReceived", "Tls", "the store broke the TLS handshake off"),
    ("InvalidMessage", "Tls", "the store does not speak TLS at this port"),
    ("kind: InvalidData", "Tls", "the TLS handshake with the store failed"),
    ("dns error", "Unreachable", "the name of the store does not resolve"),
    ("ConnectionRefused", "Unreachable", "the store refuses connections"),
    ("NetworkUnreachable", "Unreachable", "there is no route to the store"),
    ("HostUnreachable", "Unreachable", "there is no route to the store"),
    ("error sending request", "Unreachable", "the connection to the store broke"),
    ("error decoding response body", "Unreachable", "the connection to the store broke"),
    ("HTTP error", "Unreachable", "the connection to the store broke"),
)
_OS_ERROR = re.compile(r"os error (\d+)\b|Os \{\s*code: (\d+),")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9]{1,80})\s*</Code>")


def explain(error: Exception) -> StorageError:
    """Return the StorageError for an exception of a storage."""
    if isinstance(error, StorageError):
        return error
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return StorageError(*_BY_ERRNO[error.errno])
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if code is not None and code[1] in _BY_CODE:
        return StorageError(*_BY_CODE[code[1]])
    if isinstance(error, FileNotFoundError | exceptions.NotFoundError):
        return MissingObjectError()
    if status is not None:
        known = _BY_STATUS.get(status[1])
        if known is not None:
            return StorageError(*known)
        return StorageError("StoreFailed", f"the store answers with error {status[1]}")
    if isinstance(error, exceptions.UnauthenticatedError):
        return StorageError("AccessDenied", "the store's credentials are missing or not usable")
    for sign, reason, sentence in _NETWORK:
        if sign in text:
            return StorageError(reason, sentence)
    os_error = _OS_ERROR.search(text)
    number = int(os_error[1] or os_error[2]) if os_error is not None else 0
    if number in _BY_ERRNO:
        return StorageError(*_BY_ERRNO[number])
    if isinstance(error, exceptions.PermissionDeniedError):
        return StorageError(*_DENIED)
    if isinstance(error, OSError) and error.errno is not None:
        return StorageError("StoreFailed", f"the store failed: {os.strerror(error.errno)}")
    return StorageError("StoreFailed", f"the store failed: {type(error).__name__}")
