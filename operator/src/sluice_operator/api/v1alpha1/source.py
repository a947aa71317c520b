"""Where a LiveStream's media comes from: pushed by encoders, or pulled from URIs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sluice_operator.api.v1alpha1.common import ApiModel, Rule, SecretKeyRef, rules
from sluice_operator.api.v1alpha1.uris import (
    NO_CALLER,
    PRINTABLE,
    QUERY,
    SERVER,
    SRT,
    SRT_PORT,
    SRT_QUERY,
    USERINFO,
)

Protocol = Literal["RTMP", "RTMPS", "SRT", "WHIP"]

# --------------------------------------------------------------------------- push


class Backup(ApiModel):
    """A second publisher beside the first one."""

    enabled: bool = True
    """Whether a second encoder may publish at the same time, with the key backupToken: it takes
    over when the first one falls silent. false: publishers with that key are refused."""


class Srt(ApiModel):
    """What is special to publishers over SRT."""

    latency_milliseconds: Annotated[int, Field(ge=20, le=8_000)] | None = None
    """Time within which lost packets are asked for again; the greater one of this and the
    encoder's counts. About four round trips. Absent: the gateway's default."""
    passphrase_secret_ref: SecretKeyRef | None = None
    """Secret with the passphrase, 10 to 79 characters, that SRT publishers must encrypt with;
    absent: without encryption."""


class Push(ApiModel):
    """Encoders publish to this cluster's gateway."""

    protocols: Annotated[
        list[Protocol],
        Field(min_length=1, max_length=4, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default=["RTMP", "RTMPS", "SRT", "WHIP"])
    """Protocols that publishers may use; others are refused with ProtocolNotAllowed."""
    backup: Backup = Backup()
    """A second publisher beside the first one, which takes over when that falls silent."""
    srt: Srt | None = None
    """What is special to publishers over SRT."""


# --------------------------------------------------------------------------- pull

# The rules exclude each other, so that a user reads one sentence and not five.
_SCHEME = "self.matches('^(rtmps?|srt|https?|rtsps?)://')"
_FINE = f"{PRINTABLE} && {_SCHEME} && !{USERINFO}"

_URI_RULES = rules(
    Rule(
        f"!{PRINTABLE} || {_SCHEME}",
        "the uri must begin with rtmp://, rtmps://, srt://, http://, https://, rtsp:// or rtsps://",
    ),
    Rule(
        PRINTABLE,
        "the uri must consist of ASCII characters, without spaces and without '|'",
    ),
    Rule(
        f"!({PRINTABLE} && {_SCHEME}) || !{USERINFO}",
        "the uri must not carry a user or password, because everybody who can read the LiveStream "
        "would see it; put the whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE} && {SRT}) || !{NO_CALLER}",
        "an SRT source is called by the stream, so the mode can only be caller: let the source "
        "listen; a source that calls by itself is a publisher (source.push)",
    ),
    Rule(
        f"!({_FINE} && {SRT}) || {NO_CALLER} || {SRT_QUERY}",
        "of an SRT uri's options only mode and latency may stand here; streamid and passphrase "
        "are secret: put the whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE}) || {SRT} || !{QUERY}",
        "the uri must not carry a query or fragment, because that is where keys stand; put the "
        "whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE}) || {SERVER}",
        "the uri must name a server: a host name or an address, and perhaps a port",
    ),
    Rule(
        f"!({_FINE} && {SRT} && {SERVER}) || {SRT_PORT}",
        "an SRT uri must name a port: srt://SERVER:PORT",
    ),
)


class PullUri(ApiModel):
    """One source."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.uri) != has(self.uriSecretRef)",
                "exactly one of uri and uriSecretRef must be set",
            ),
            Rule(
                "!has(self.caSecretRef) || !has(self.uri)"
                " || self.uri.matches('^(rtmps|https|rtsps)://')",
                "caSecretRef is about the certificate of an rtmps://, https:// or rtsps:// source; "
                "remove it, or use one of these",
            ),
        )
    )

    uri: (
        Annotated[str, Field(min_length=1, max_length=1_024, json_schema_extra=_URI_RULES)] | None
    ) = None
    """The source, when nothing in it is secret: rtmp, rtmps, srt (as caller), http, https (HLS, TS,
    MP4), rtsp or rtsps; without user, password and query."""
    uri_secret_ref: SecretKeyRef | None = None
    """Secret with the source's whole uri, when something in it is secret."""
    ca_secret_ref: SecretKeyRef | None = None
    """Secret with the certificate authorities (PEM) that the certificate of an rtmps, https or
    rtsps source is verified with, when they are not the public ones."""


class Pull(ApiModel):
    """The stream fetches its media itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.inactivitySeconds > self.stallSeconds",
                "inactivitySeconds must be greater than stallSeconds, because a source that sends "
                "nothing is not left before stallSeconds have passed",
            )
        )
    )

    uris: Annotated[
        list[PullUri],
        Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ]
    """Sources, in their order: when one does not answer or falls silent it is the next one's turn,
    and after the last one the first one's again."""
    stall_seconds: Annotated[int, Field(ge=1, le=60)] = 3
    """A source that sent nothing for so long is left for the next one."""
    retry_seconds: Annotated[int, Field(ge=1, le=60)] = 3
    """Pause after a round in which no source delivered."""
    inactivity_seconds: Annotated[int, Field(ge=10, le=604_800)] = 7_200
    """More than stallSeconds. When no source delivered for so long, no more tries are made until
    spec or the annotation sluice.video/restart changes (condition Live says InactivityTimeout)."""
    standby: Literal["Cold", "Warm"] = "Cold"
    """Warm: the next source is kept connected beside the one on air, so that a change takes less
    than a second; it costs the bandwidth twice. Cold: it is connected when it is needed."""


# --------------------------------------------------------------------------- both


class Source(ApiModel):
    """Where the media comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("has(self.push) != has(self.pull)", "exactly one of push and pull must be set")
        )
    )

    push: Push | None = None
    """Encoders publish with the keys in the Secret that status.ingest.secretName names."""
    pull: Pull | None = None
    """The stream fetches its media itself, from the first of several sources that delivers."""


class Failover(ApiModel):
    """When a publisher counts as gone, and what happens then."""

    stall_milliseconds: Annotated[int, Field(ge=200, le=30_000)] = 800
    """A publisher that sent nothing for so long is not waited for: the backup takes over, and
    another one with the same key may take its place. This is how an encoder gets back in after its
    cable was pulled."""
    failback: Literal["Never", "AfterStable"] = "Never"
    """Never: the backup stays on air until it falls silent itself. AfterStable: the primary goes on
    air again once it has delivered for failbackSeconds without a break."""
    failback_seconds: Annotated[int, Field(ge=5, le=3_600)] = 60
    """With AfterStable: how long the primary must have delivered."""
