"""The source of a LiveStream: pushed by encoders, or pulled from URIs."""

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
    """A second publisher beside the primary one."""

    enabled: bool = True
    """true: a second encoder may publish at the same time, with the key backupToken. It takes over
    when the primary stops sending. false: publishers with that key are refused."""


class Srt(ApiModel):
    """Options for publishers over SRT."""

    latency_milliseconds: Annotated[int, Field(ge=20, le=8_000)] | None = None
    """SRT latency: the time in which lost packets can be sent again. The larger of this value and
    the encoder's value applies. Use about four round trips. Absent: the default of the gateway."""
    passphrase_secret_ref: SecretKeyRef | None = None
    """Secret with the passphrase (10 to 79 characters) that SRT publishers must encrypt with.
    Absent: no encryption."""


class Push(ApiModel):
    """Encoders publish to the gateway of this cluster."""

    protocols: Annotated[
        list[Protocol],
        Field(min_length=1, max_length=4, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = Field(default=["RTMP", "RTMPS", "SRT", "WHIP"])
    """Protocols that publishers may use. Other protocols are refused with ProtocolNotAllowed."""
    backup: Backup = Backup()
    """A second publisher beside the primary one. It takes over when the primary stops sending."""
    srt: Srt | None = None
    """Options for publishers over SRT."""


# --------------------------------------------------------------------------- pull

# At most one rule is broken at a time, so that a user reads one message and not five.
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
        "the stream calls an SRT source, so the mode can only be caller: let the source listen; "
        "a source that calls is a publisher and belongs under source.push",
    ),
    Rule(
        f"!({_FINE} && {SRT}) || {NO_CALLER} || {SRT_QUERY}",
        "of the options of an SRT uri, only mode and latency may stand here; streamid and "
        "passphrase are secret: put the whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE}) || {SRT} || !{QUERY}",
        "the uri must not carry a query or fragment, because these often contain a key; put the "
        "whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE}) || {SERVER}",
        "the uri must name a server: a host name or an address, and optionally a port",
    ),
    Rule(
        f"!({_FINE} && {SRT} && {SERVER}) || {SRT_PORT}",
        "an SRT uri must name a port: srt://SERVER:PORT",
    ),
)


class PullUri(ApiModel):
    """One source that the stream can pull from."""

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
                "remove it, or use one of these schemes",
            ),
        )
    )

    uri: (
        Annotated[str, Field(min_length=1, max_length=1_024, json_schema_extra=_URI_RULES)] | None
    ) = None
    """URI of the source, if it contains no secret: rtmp, rtmps, srt (as caller), http, https (HLS,
    TS, MP4), rtsp or rtsps, without user, password and query."""
    uri_secret_ref: SecretKeyRef | None = None
    """Secret with the whole URI of the source. Use it if the URI contains a secret."""
    ca_secret_ref: SecretKeyRef | None = None
    """Secret with the certificate authorities (PEM) that verify the certificate of an rtmps, https
    or rtsps source. Absent: the public authorities."""


class Pull(ApiModel):
    """The stream pulls its media itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.inactivitySeconds > self.stallSeconds",
                "inactivitySeconds must be greater than stallSeconds, because the stream stays on "
                "a silent source for stallSeconds",
            )
        )
    )

    uris: Annotated[
        list[PullUri],
        Field(min_length=1, max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ]
    """Sources in the order in which they are tried. When a source does not answer or stops sending,
    the stream changes to the next source; after the last source it begins again with the first."""
    stall_seconds: Annotated[int, Field(ge=1, le=60)] = 3
    """Stall timeout in seconds. After this time without media the stream changes to the next
    source."""
    retry_seconds: Annotated[int, Field(ge=1, le=60)] = 3
    """Pause in seconds after a round in which no source sent media."""
    inactivity_seconds: Annotated[int, Field(ge=10, le=604_800)] = 7_200
    """Time in seconds without media from any source, after which the stream stops trying (condition
    Live has the reason InactivityTimeout). A change of the spec or of the annotation
    sluice.video/restart starts it again. Must be greater than stallSeconds."""
    standby: Literal["Cold", "Warm"] = "Cold"
    """Warm: the next source stays connected beside the source on air. A change then takes less than
    a second, but needs twice the bandwidth. Cold: the next source is connected when it is
    needed."""


# --------------------------------------------------------------------------- both


class Source(ApiModel):
    """Source of the media: exactly one of push and pull."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("has(self.push) != has(self.pull)", "exactly one of push and pull must be set")
        )
    )

    push: Push | None = None
    """Encoders publish with the keys in the Secret that status.ingest.secretName names."""
    pull: Pull | None = None
    """The stream pulls its media itself, from the first source in a list that sends media."""


class Failover(ApiModel):
    """Change from one publisher to the other when the publisher on air stops sending."""

    stall_milliseconds: Annotated[int, Field(ge=200, le=30_000)] = 800
    """Stall timeout. A publisher that sends nothing for this time is treated as gone: the backup
    takes over, and a new connection with the same key may replace it. So an encoder can connect
    again after its cable was pulled."""
    failback: Literal["Never", "AfterStable"] = "Never"
    """Never: the backup stays on air until it stops sending. AfterStable: the primary goes back on
    air after it has sent media for failbackSeconds without a break."""
    failback_seconds: Annotated[int, Field(ge=5, le=3_600)] = 60
    """Time in seconds that the primary must send media without a break, for AfterStable."""
