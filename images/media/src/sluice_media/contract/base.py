"""Ports, files in a pod, header names, and the model that everything here is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

HUB_PORT = 9000
STATUS_PORT = 9100
STORE_PORT = 9200
RTMP_PORT = 1935
RTMPS_PORT = 1936
SRT_PORT = 9710
"""UDP."""
WHIP_PORT = 8080
WHIP_MEDIA_PORT = 8189
"""UDP."""

CONFIG_DIR = "/etc/sluice/config"
CONFIG_FILE = f"{CONFIG_DIR}/config.json"
KEYS_DIR = "/etc/sluice/keys"
INGEST_TOKEN_FILE = "ingest/token"
"""Below KEYS_DIR: the publisher's key of the primary leg."""
INGEST_BACKUP_TOKEN_FILE = "ingest/backupToken"
"""Below KEYS_DIR: the publisher's key of the backup leg."""
SRT_PASSPHRASE_FILE = "srt/passphrase"
"""Below KEYS_DIR: 10 to 79 characters."""
PULL_DIR = "pull"
"""Below KEYS_DIR: ``pull/<index>`` is a URI to pull from that comes from a Secret."""
PULL_CA_DIR = "pullca"
"""Below KEYS_DIR: ``pullca/<index>`` are PEM certificates that a source's is verified with."""
HUB_TOKEN_FILE = "hub/token"
"""Below KEYS_DIR: what readers of the timeline and of /v1/status present as a bearer token."""
STORE_TOKEN_FILE = "store/token"
"""Below KEYS_DIR: what a store's ``/v1/recordings`` wants as a bearer token; without this file
HUB_TOKEN_FILE counts there too."""
TARGET_URI_FILE = "target/uri"
"""Below KEYS_DIR: a Restream's whole URI, when it comes from a Secret."""
STREAM_KEY_FILE = "streamkey/key"
"""Below KEYS_DIR: a Restream's stream key, when it has a Secret of its own."""
TARGET_PASSPHRASE_FILE = "targetpassphrase/passphrase"
"""Below KEYS_DIR: an SRT target's passphrase, when it has a Secret of its own."""
TARGET_CA_FILE = "targetca/ca"
"""Below KEYS_DIR: PEM certificates that an RTMPS target's certificate is verified with."""
S3_ACCESS_KEY_FILE = "s3access/key"
"""Below KEYS_DIR, as the three that follow: a MediaStore's credentials."""
S3_SECRET_KEY_FILE = "s3secret/key"
S3_SESSION_TOKEN_FILE = "s3session/key"
"""Optional: with credentials that are temporary."""
S3_CA_FILE = "s3ca/ca"
"""PEM certificates that the endpoint's certificate is verified with."""
STORE_DIR = "/var/lib/sluice/store"
"""Where a claim-backed MediaStore is mounted, in recorders and in its store pod."""
SPOOL_DIR = "/var/lib/sluice/spool"
"""A pod's own scratch space (emptyDir)."""

CONFIG_ANNOTATION = "sluice.video/config"
"""On a pod: a new value makes the kubelet refresh its mounts at once."""

TOKEN_HEADER = "Sluice-Authorization"
"""Carries the bearer token in place of ``Authorization`` when a request comes through the API
server's pod proxy, which consumes ``Authorization`` itself. Either header opens a pod's API."""

HELLO_HEADER = "Sluice-Leg"
"""Request header of a leg: a :class:`LegHello` as JSON."""


class Model(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)


Seconds = Annotated[float, Field(ge=0)]
