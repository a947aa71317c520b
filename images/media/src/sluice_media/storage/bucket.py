"""An S3 bucket as an obstore store.

In: a BucketLocation and the key files. Out: a store that reads its credentials from the files at
each request, so that rotated ones apply at once. It retries only briefly, because its callers retry
and report the error meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import S3Store
from pydantic import SecretStr

from sluice_media.contract import (
    S3_ACCESS_KEY_FILE,
    S3_CA_FILE,
    S3_SECRET_KEY_FILE,
    S3_SESSION_TOKEN_FILE,
    BucketLocation,
    StorageReason,
)
from sluice_media.storage.errors import StorageError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

KeyReader = Callable[[str], SecretStr | None]

_CONNECT_TIMEOUT = timedelta(seconds=5)
_TIMEOUT = timedelta(days=1)
"""Timeout of one request, practically none: each call has its own timeout by size
(:mod:`.adaptive_timeout`), because 64 kbit/s is slow, but not a fault."""
_RETRY: RetryConfig = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}


def bucket_url(s3: BucketLocation) -> str:
    """Return the bucket's URL without a slash at its end. Raises StorageError when the endpoint is
    not an http(s) URL."""
    endpoint = s3.endpoint or f"https://s3.{s3.region}.amazonaws.com"
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise StorageError(
            StorageReason.UNREACHABLE, "the endpoint of the store is not an http or https URL"
        )
    if s3.path_style:
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/{s3.bucket}"
    return f"{parts.scheme}://{s3.bucket}.{parts.netloc}{parts.path.rstrip('/')}"


def credentials(key: KeyReader) -> S3Credential:
    """Read the credentials from the key files. Raises StorageError while one is missing."""
    access, secret = key(S3_ACCESS_KEY_FILE), key(S3_SECRET_KEY_FILE)
    if access is None or secret is None:
        raise StorageError(
            StorageReason.ACCESS_DENIED, "the store's credentials are missing or not usable"
        )
    session = key(S3_SESSION_TOKEN_FILE)
    return {
        "access_key_id": access.get_secret_value(),
        "secret_access_key": secret.get_secret_value(),
        "token": session.get_secret_value() if session is not None else None,
        # Short-lived, so that the next request reads the files again.
        "expires_at": datetime.now(UTC) + timedelta(seconds=1),
    }


def s3_store(s3: BucketLocation, key: KeyReader) -> S3Store:
    """Return the bucket below its prefix. Raises StorageError for an unusable configuration."""
    url = bucket_url(s3)
    config: S3Config = {
        "region": s3.region,
        "virtual_hosted_style_request": not s3.path_style,
        # Not every S3 server can delete many objects at once, or has tags.
        "disable_bulk_delete": True,
        "disable_tagging": True,
        "unsigned_payload": False,
    }
    if s3.path_style:
        config["endpoint"] = url.removesuffix(f"/{s3.bucket}")
    else:
        config["endpoint"] = url
    client: ClientConfig = {
        "allow_http": url.startswith("http://"),
        "connect_timeout": _CONNECT_TIMEOUT,
        "timeout": _TIMEOUT,
        "user_agent": "sluice",
    }
    if s3.has_ca:
        authority = key(S3_CA_FILE)
        if authority is None:
            raise StorageError(
                StorageReason.TLS, "the certificate of the store's authority is missing"
            )
        client["root_certificate"] = authority.get_secret_value()
    try:
        with _without_public_authorities() if s3.has_ca else nullcontext():
            return S3Store(
                s3.bucket,
                prefix=s3.prefix or None,
                config=config,
                client_options=client,
                retry_config=_RETRY,
                credential_provider=(lambda: credentials(key)) if s3.has_credentials else None,
            )
    except Exception as error:
        bad_authority = s3.has_ca and "ertificate" in str(error)
        reason = StorageReason.TLS if bad_authority else StorageReason.STORE_FAILED
        sentence = (
            "the certificate authority of the store is not a PEM certificate"
            if bad_authority
            else "the configuration of the store cannot be used"
        )
        raise StorageError(reason, sentence) from None


@contextmanager
def _without_public_authorities() -> Iterator[None]:
    """Disable the public authorities, so that a configured one replaces them as in other clients.

    obstore can only add to the machine's certificates, which it reads once, when a store is made,
    from where these variables point. (Changing them is safe beside other threads from glibc 2.41
    on, which the image has.)"""
    before = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    os.environ.update(dict.fromkeys(before, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
