"""The keys of each role as mounts, with the file names of `sluice_media.contract`."""

from __future__ import annotations

from sluice_media.contract import (
    EDGE_TOKEN_FILE,
    HUB_TOKEN_FILE,
    INGEST_BACKUP_TOKEN_FILE,
    INGEST_TOKEN_FILE,
    PLAYBACK_KEY_FILE,
    PLAYBACK_PREVIOUS_KEY_FILE,
)
from sluice_operator.api.v1alpha1.common import SecretKeyRef
from sluice_operator.domain.manifests.pod import KeyMount
from sluice_operator.domain.manifests.secret import (
    BACKUP_TOKEN_KEY,
    PREVIOUS_SIGNING_KEY,
    SIGNING_KEY,
    TOKEN_KEY,
)
from sluice_operator.domain.names import (
    EDGE_SECRET_SUFFIX,
    PLAYBACK_SECRET_SUFFIX,
    STATUS_SECRET,
    child_name,
)
from sluice_operator.domain.owner import Owner


def _mount(path: str, secret: str, key: str, *, optional: bool = False) -> KeyMount:
    folder, _, file = path.partition("/")
    return KeyMount(folder, file, secret, key, optional)


def own_token(owner: Owner) -> KeyMount:
    """Return the token for requests to this pod's status, and to the hub's timeline."""
    secret = child_name(owner.name, STATUS_SECRET[owner.kind])
    return _mount(HUB_TOKEN_FILE, secret, TOKEN_KEY)


def publisher_keys(owner: Owner) -> tuple[KeyMount, KeyMount]:
    """Return the keys of the primary and of the backup leg."""
    secret = child_name(owner.name, "ingest")
    return (
        _mount(INGEST_TOKEN_FILE, secret, TOKEN_KEY),
        _mount(INGEST_BACKUP_TOKEN_FILE, secret, BACKUP_TOKEN_KEY),
    )


def edge_key(owner: Owner) -> KeyMount:
    """Return the token with which the edge reads from the play pods."""
    return _mount(EDGE_TOKEN_FILE, child_name(owner.name, EDGE_SECRET_SUFFIX), TOKEN_KEY)


def playback_keys(owner: Owner) -> tuple[KeyMount, KeyMount]:
    """Return the keys of signed URLs. They are optional: there may be no former key, and a user may
    be about to replace the Secret."""
    secret = child_name(owner.name, PLAYBACK_SECRET_SUFFIX)
    return (
        _mount(PLAYBACK_KEY_FILE, secret, SIGNING_KEY, optional=True),
        _mount(PLAYBACK_PREVIOUS_KEY_FILE, secret, PREVIOUS_SIGNING_KEY, optional=True),
    )


def users_key(file: str, ref: SecretKeyRef) -> KeyMount:
    """Return a key of a user's Secret. It may be missing; the pod reports that. ``file`` is the
    contract's name of the key."""
    return _mount(file, ref.name, ref.key, optional=True)
