"""Secrets that the operator creates: publishers' keys with addresses, keys for signed playback
URLs, and tokens of pods."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from sluice_operator.domain.livestream.addresses import Addresses
from sluice_operator.domain.manifests.meta import metadata
from sluice_operator.domain.names import (
    EDGE_SECRET_SUFFIX,
    PLAYBACK_SECRET_SUFFIX,
    ROTATED_ANNOTATION,
    child_name,
)
from sluice_operator.domain.owner import Owner

TOKEN_KEY = "token"
BACKUP_TOKEN_KEY = "backupToken"
SIGNING_KEY = "key"
PREVIOUS_SIGNING_KEY = "previousKey"


@dataclass(slots=True, frozen=True)
class PublisherKeys:
    """The publishers' keys, which users may change, and the rotation that made them."""

    primary: str = field(repr=False)
    backup: str = field(repr=False)
    rotation: str | None = None
    """Value of the annotation `names.ROTATED_ANNOTATION`; empty when never rotated."""


def ingest_secret(
    owner: Owner, keys: PublisherKeys, addresses: Addresses, *, backup: bool
) -> dict[str, Any]:
    """Return the Secret ``<stream>-ingest``: the tokens, and the values that follow from them.

    ``addresses`` are those of the allowed protocols. With ``backup`` the Secret has the backup's
    addresses too. It always has the backup's token, so that enabling the backup needs no new pod
    and makes no new key."""
    values = {TOKEN_KEY: keys.primary, BACKUP_TOKEN_KEY: keys.backup}
    values |= _encoder_values(owner, keys.primary, addresses)
    if (whip := addresses.whip(owner.namespace, owner.name)) is not None:
        values |= {"whipUrl": whip, "whipToken": keys.primary}
    if backup:
        pasted = _encoder_values(owner, keys.backup, addresses)
        values |= {f"backup{key[0].upper()}{key[1:]}": value for key, value in pasted.items()}
    annotations = {ROTATED_ANNOTATION: keys.rotation} if keys.rotation else None
    return _secret(owner, child_name(owner.name, "ingest"), values, annotations)


def _encoder_values(owner: Owner, token: str, addresses: Addresses) -> dict[str, str]:
    """Return the values that a user pastes into an encoder, for one leg."""
    stream_key = f"{owner.name}?{token}"
    values = {"streamKey": stream_key}
    if (server := addresses.rtmp_server("RTMP", owner.namespace)) is not None:
        values |= {"rtmpServer": server, "rtmpUrl": f"{server}/{stream_key}"}
    if (server := addresses.rtmp_server("RTMPS", owner.namespace)) is not None:
        values |= {"rtmpsServer": server, "rtmpsUrl": f"{server}/{stream_key}"}
    stream_id = f"{owner.namespace}/{stream_key}"
    if (srt := addresses.srt(stream_id)) is not None:
        values |= {"srtUrl": srt, "srtStreamId": stream_id}
    return values


@dataclass(slots=True, frozen=True)
class PlaybackKeys:
    """The keys for signed playback URLs, which users may change, and their rotation."""

    key: str = field(repr=False)
    previous_key: str | None = field(default=None, repr=False)
    """The former key; None when there is none."""
    rotation: str | None = None
    """Value of the annotation `names.ROTATED_ANNOTATION`; empty when never rotated."""


def playback_secret(owner: Owner, keys: PlaybackKeys) -> dict[str, Any]:
    """Return the Secret ``<stream>-playback``."""
    values = {SIGNING_KEY: keys.key}
    if keys.previous_key:
        values[PREVIOUS_SIGNING_KEY] = keys.previous_key
    annotations = {ROTATED_ANNOTATION: keys.rotation} if keys.rotation else None
    return _secret(owner, child_name(owner.name, PLAYBACK_SECRET_SUFFIX), values, annotations)


def edge_secret(owner: Owner, token: str) -> dict[str, Any]:
    """Return the Secret ``<stream>-edge`` with the edge's token for the stream's play pods."""
    return token_secret(owner, EDGE_SECRET_SUFFIX, token)


def edge_token(edge_key: str, namespace: str, name: str) -> str:
    """Return the edge's token for one stream: the HMAC-SHA256 of its name in hex (RFC 2104).

    The edge has the key and derives the token of each stream. Play pods have their own token only.
    """
    message = f"{namespace}/{name}".encode()
    return hmac.new(edge_key.encode(), message, hashlib.sha256).hexdigest()


def token_secret(owner: Owner, suffix: str, token: str) -> dict[str, Any]:
    """Return a Secret with one token: that of a hub or of a store, or a reader's copy of the hub's
    token."""
    return _secret(owner, child_name(owner.name, suffix), {TOKEN_KEY: token})


def _secret(
    owner: Owner, name: str, values: dict[str, str], annotations: dict[str, str] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(owner, name, annotations),
        "type": "Opaque",
        # The API server loses the field ownership of values in `stringData`, so this is `data`.
        "data": {key: b64encode(value.encode()).decode() for key, value in values.items()},
    }
