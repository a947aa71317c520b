"""Which keys each role finds where: the file names of `sluice_media.contract`, as mounts."""

from __future__ import annotations

from sluice_media.contract import (
    HUB_TOKEN_FILE,
    INGEST_BACKUP_TOKEN_FILE,
    INGEST_TOKEN_FILE,
    PULL_DIR,
    S3_ACCESS_KEY_FILE,
    S3_CA_FILE,
    S3_SECRET_KEY_FILE,
    S3_SESSION_TOKEN_FILE,
    SRT_PASSPHRASE_FILE,
    STREAM_KEY_FILE,
    TARGET_CA_FILE,
    TARGET_PASSPHRASE_FILE,
    TARGET_URI_FILE,
)
from sluice_operator.api.v1alpha1.common import SecretKeyRef
from sluice_operator.domain.manifests.pod import KeyMount
from sluice_operator.domain.manifests.secret import BACKUP_TOKEN_KEY, TOKEN_KEY
from sluice_operator.domain.names import STATUS_SECRET, child_name
from sluice_operator.domain.owner import Owner

__all__ = [
    "own_token",
    "publisher_keys",
    "pull_uri",
    "s3_access",
    "s3_ca",
    "s3_secret",
    "s3_session",
    "srt_passphrase",
    "stream_key",
    "target_ca",
    "target_passphrase",
    "target_uri",
]


def _mount(path: str, secret: str, key: str, *, optional: bool = False) -> KeyMount:
    folder, _, file = path.partition("/")
    return KeyMount(folder, file, secret, key, optional)


def own_token(owner: Owner) -> KeyMount:
    """What opens this pod's status, and the hub's timeline."""
    secret = child_name(owner.name, STATUS_SECRET[owner.kind])
    return _mount(HUB_TOKEN_FILE, secret, TOKEN_KEY)


def publisher_keys(owner: Owner) -> tuple[KeyMount, KeyMount]:
    """Of the primary and of the backup leg."""
    secret = child_name(owner.name, "ingest")
    return (
        _mount(INGEST_TOKEN_FILE, secret, TOKEN_KEY),
        _mount(INGEST_BACKUP_TOKEN_FILE, secret, BACKUP_TOKEN_KEY),
    )


def srt_passphrase(ref: SecretKeyRef) -> KeyMount:
    return _mount(SRT_PASSPHRASE_FILE, ref.name, ref.key, optional=True)


def pull_uri(index: int, ref: SecretKeyRef) -> KeyMount:
    return _mount(f"{PULL_DIR}/{index}", ref.name, ref.key, optional=True)


def s3_access(ref: SecretKeyRef) -> KeyMount:
    return _mount(S3_ACCESS_KEY_FILE, ref.name, ref.key, optional=True)


def s3_secret(ref: SecretKeyRef) -> KeyMount:
    return _mount(S3_SECRET_KEY_FILE, ref.name, ref.key, optional=True)


def s3_session(ref: SecretKeyRef) -> KeyMount:
    return _mount(S3_SESSION_TOKEN_FILE, ref.name, ref.key, optional=True)


def s3_ca(ref: SecretKeyRef) -> KeyMount:
    return _mount(S3_CA_FILE, ref.name, ref.key, optional=True)


def target_uri(ref: SecretKeyRef) -> KeyMount:
    return _mount(TARGET_URI_FILE, ref.name, ref.key, optional=True)


def stream_key(ref: SecretKeyRef) -> KeyMount:
    return _mount(STREAM_KEY_FILE, ref.name, ref.key, optional=True)


def target_passphrase(ref: SecretKeyRef) -> KeyMount:
    return _mount(TARGET_PASSPHRASE_FILE, ref.name, ref.key, optional=True)


def target_ca(ref: SecretKeyRef) -> KeyMount:
    return _mount(TARGET_CA_FILE, ref.name, ref.key, optional=True)
