"""Ports, files in a pod, header names, and the base class of the contract's models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

HUB_PORT = 9000
STATUS_PORT = 9100
STORE_PORT = 9200
PLAY_PORT = 9300
RTMP_PORT = 1935
RTMPS_PORT = 1936
SRT_PORT = 9710
"""A UDP port."""
WHIP_PORT = 8080
WHIP_MEDIA_PORT = 8189
"""A UDP port."""

CONFIG_DIR = "/etc/sluice/config"
CONFIG_FILE = f"{CONFIG_DIR}/config.json"
KEYS_DIR = "/etc/sluice/keys"
INGEST_TOKEN_FILE = "ingest/token"
"""Path below KEYS_DIR of the publisher's key of the primary leg."""
INGEST_BACKUP_TOKEN_FILE = "ingest/backupToken"
"""Path below KEYS_DIR of the publisher's key of the backup leg."""
SRT_PASSPHRASE_FILE = "srt/passphrase"
"""Path below KEYS_DIR of the SRT publishers' passphrase: 10 to 79 characters."""
PULL_DIR = "pull"
"""Folder below KEYS_DIR. ``pull/<index>`` is a URI to pull from that comes from a Secret."""
PULL_CA_DIR = "pullca"
"""Folder below KEYS_DIR. ``pullca/<index>`` holds PEM certificates that verify that source."""
HUB_TOKEN_FILE = "hub/token"
"""Path below KEYS_DIR of the bearer token for the timeline and ``/v1/status``."""
EDGE_TOKEN_FILE = "edge/token"
"""Path below KEYS_DIR of the bearer token with which the edge reads from a play pod."""
PLAYBACK_KEY_FILE = "playback/key"
"""Path below KEYS_DIR of the key that signs playback URLs."""
PLAYBACK_PREVIOUS_KEY_FILE = "playback/previousKey"
"""Path below KEYS_DIR of the former key. URLs that it signed stay valid while it is there."""
STORE_TOKEN_FILE = "store/token"
"""Path below KEYS_DIR of the bearer token for a store's ``/v1/recordings``. The store uses
HUB_TOKEN_FILE when this file is missing."""
TARGET_URI_FILE = "target/uri"
"""Path below KEYS_DIR of a Restream's whole URI, when it comes from a Secret."""
STREAM_KEY_FILE = "streamkey/key"
"""Path below KEYS_DIR of a Restream's stream key, when it has a Secret of its own."""
TARGET_PASSPHRASE_FILE = "targetpassphrase/passphrase"
"""Path below KEYS_DIR of an SRT target's passphrase, when it has a Secret of its own."""
TARGET_CA_FILE = "targetca/ca"
"""Path below KEYS_DIR of the PEM certificates that verify an RTMPS target."""
S3_ACCESS_KEY_FILE = "s3access/key"
"""Path below KEYS_DIR of a MediaStore's access key."""
S3_SECRET_KEY_FILE = "s3secret/key"
"""Path below KEYS_DIR of a MediaStore's secret key."""
S3_SESSION_TOKEN_FILE = "s3session/key"
"""Path below KEYS_DIR of the session token. Only temporary credentials have one."""
S3_CA_FILE = "s3ca/ca"
"""Path below KEYS_DIR of the PEM certificates that verify the S3 endpoint."""
STORE_DIR = "/var/lib/sluice/store"
"""Mount path of a claim-backed MediaStore, in recorders and in its store pod."""
SPOOL_DIR = "/var/lib/sluice/spool"
"""A pod's own scratch space (emptyDir)."""

CONFIG_ANNOTATION = "sluice.video/config"
"""Annotation of a pod. A new value makes the kubelet refresh the pod's mounts at once."""

TOKEN_HEADER = "Sluice-Authorization"
"""Header for the bearer token of a request through the API server's pod proxy, which consumes
``Authorization`` itself. A pod's API accepts either header."""

HELLO_HEADER = "Sluice-Leg"
"""Request header of a leg: a :class:`LegHello` as JSON."""


class Model(BaseModel):
    """Base class of everything on the wire: camelCase names, unknown fields ignored, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    def to_json(self) -> str:
        """Return the JSON text, without the fields that are None."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


Seconds = Annotated[float, Field(ge=0)]
