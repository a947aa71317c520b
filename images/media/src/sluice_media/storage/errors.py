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

from sluice_media.contract import StorageReason


class StorageError(RuntimeError):
    """The storage refused or failed. The text is a message without any secret."""

    def __init__(self, reason: StorageReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class MissingObjectError(StorageError):
    """The object does not exist."""

    def __init__(self) -> None:
        super().__init__(StorageReason.NOT_FOUND, "there is no such object")


_DENIED = (
    StorageReason.ACCESS_DENIED,
    "the store denies access: the credentials lack the permission",
)
_REFUSED = (StorageReason.ACCESS_DENIED, "the store does not accept the credentials")
_FORBIDDEN = (
    StorageReason.ACCESS_DENIED,
    "the store may not be written or read: access denied",
)
_NO_SPACE = (StorageReason.NO_SPACE, "no space is left in the store")
_QUOTA_USED_UP = (StorageReason.NO_SPACE, "the quota of the bucket is used up")
_SLOW_DOWN = (StorageReason.SLOW_DOWN, "the store asks to slow down")
_ALTERED = (StorageReason.INCOMPLETE, "the store received other bytes than were sent")
_WRONG_REGION = (
    StorageReason.WRONG_REGION,
    "the bucket is in another region than the one that is configured",
)
_NO_ANSWER = (StorageReason.TIMEOUT, "the store did not answer in time")
_DISK_GONE = (StorageReason.INPUT_OUTPUT_ERROR, "the disk of the store is not there any more")
_BAD_CERTIFICATE = (StorageReason.TLS, "the certificate of the store cannot be verified")
_NO_ROUTE = (StorageReason.UNREACHABLE, "there is no route to the store")
_BROKEN = (StorageReason.UNREACHABLE, "the connection to the store broke")

_BY_CODE = {
    "NoSuchBucket": (StorageReason.NO_SUCH_BUCKET, "the bucket does not exist"),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _DENIED,
    "InvalidAccessKeyId": _REFUSED,
    "XAdminUserNotFound": _REFUSED,  # versitygw, with status 404
    "SignatureDoesNotMatch": _REFUSED,
    "InvalidToken": _REFUSED,
    "ExpiredToken": (StorageReason.ACCESS_DENIED, "the credentials of the store have expired"),
    "RequestTimeTooSkewed": (
        StorageReason.ACCESS_DENIED,
        "the store refuses requests because its clock and this node's differ by too much",
    ),
    "SlowDown": _SLOW_DOWN,
    "ServiceUnavailable": _SLOW_DOWN,
    "SlowDownRead": _SLOW_DOWN,  # MinIO
    "SlowDownWrite": _SLOW_DOWN,  # MinIO
    "TooManyRequests": _SLOW_DOWN,
    "RequestLimitExceeded": _SLOW_DOWN,
    "QuotaExceeded": _QUOTA_USED_UP,  # Ceph
    "XMinioAdminBucketQuotaExceeded": _QUOTA_USED_UP,
    "XMinioStorageFull": _NO_SPACE,
    "InsufficientStorage": _NO_SPACE,
    "BadDigest": _ALTERED,
    "InvalidDigest": _ALTERED,
    "XAmzContentSHA256Mismatch": _ALTERED,
    "XAmzContentChecksumMismatch": _ALTERED,
    "IncompleteBody": (StorageReason.INCOMPLETE, "the store received fewer bytes than were sent"),
    "RequestTimeout": (StorageReason.TIMEOUT, "the store did not get all bytes in time"),
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "PermanentRedirect": _WRONG_REGION,
    "IllegalLocationConstraintException": _WRONG_REGION,
}
_BY_STATUS = {
    "401": _REFUSED,
    "403": _DENIED,
    "301": _WRONG_REGION,
    "408": _NO_ANSWER,
    "429": _SLOW_DOWN,
    "503": _SLOW_DOWN,
    "504": _NO_ANSWER,
    "507": _NO_SPACE,
}
_BY_ERRNO = {
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: (StorageReason.NO_SPACE, "the disk quota of the store is used up"),
    errno.EROFS: (StorageReason.READ_ONLY, "the store is mounted read-only"),
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EIO: (
        StorageReason.INPUT_OUTPUT_ERROR,
        "the disk of the store reports an input/output error",
    ),
    errno.EUCLEAN: (StorageReason.INPUT_OUTPUT_ERROR, "the file system of the store is damaged"),
    errno.ENXIO: _DISK_GONE,
    errno.ENODEV: _DISK_GONE,
    errno.ESTALE: (
        StorageReason.INPUT_OUTPUT_ERROR,
        "the file system of the store is not there any more",
    ),
}
_BY_NETWORK_ERROR = {
    "kind: Timeout": _NO_ANSWER,
    "TimedOut": _NO_ANSWER,
    "invalid peer certificate": _BAD_CERTIFICATE,
    "InvalidCertificate": _BAD_CERTIFICATE,
    "AlertReceived": (StorageReason.TLS, "the store broke the TLS handshake off"),
    "InvalidMessage": (StorageReason.TLS, "the store does not speak TLS at this port"),
    "kind: InvalidData": (StorageReason.TLS, "the TLS handshake with the store failed"),
    "dns error": (StorageReason.UNREACHABLE, "the name of the store does not resolve"),
    "ConnectionRefused": (StorageReason.UNREACHABLE, "the store refuses connections"),
    "NetworkUnreachable": _NO_ROUTE,
    "HostUnreachable": _NO_ROUTE,
    "error sending request": _BROKEN,
    "error decoding response body": _BROKEN,
    "HTTP error": _BROKEN,
}
"""Text in an error of obstore -> reason and message; the first text that is found counts."""
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
        return StorageError(StorageReason.STORE_FAILED, f"the store answers with error {status[1]}")
    if isinstance(error, exceptions.UnauthenticatedError):
        return StorageError(
            StorageReason.ACCESS_DENIED, "the store's credentials are missing or not usable"
        )
    for sign, known in _BY_NETWORK_ERROR.items():
        if sign in text:
            return StorageError(*known)
    os_error = _OS_ERROR.search(text)
    number = int(os_error[1] or os_error[2]) if os_error is not None else 0
    if number in _BY_ERRNO:
        return StorageError(*_BY_ERRNO[number])
    if isinstance(error, exceptions.PermissionDeniedError):
        return StorageError(*_DENIED)
    if isinstance(error, OSError) and error.errno is not None:
        return StorageError(
            StorageReason.STORE_FAILED, f"the store failed: {os.strerror(error.errno)}"
        )
    return StorageError(StorageReason.STORE_FAILED, f"the store failed: {type(error).__name__}")
