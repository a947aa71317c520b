"""Restream: push a LiveStream on to one target."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from sluice_operator.api.v1alpha1.common import (
    ApiModel,
    Column,
    CrdNames,
    LocalRef,
    Resource,
    Rule,
    SecretKeyRef,
    dns_label_rule,
    rules,
)
from sluice_operator.api.v1alpha1.conditions import Conditions
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

# The rules exclude each other, so that a user reads one sentence and not five.
_SCHEME = "self.matches('^(rtmps?|srt)://')"
_RTMP = "self.matches('^rtmps?://')"
_APP = "self.matches('^rtmps?://[^/]+/[^/]')"
_NO_PATH = "self.matches('^srt://[^/?]*/?([?].*)?$')"
_FINE = f"{PRINTABLE} && {_SCHEME} && !{USERINFO}"
_FINE_SRT = f"{_FINE} && {SRT} && !{NO_CALLER} && {SRT_QUERY}"
_FINE_RTMP = f"{_FINE} && {_RTMP} && !{QUERY}"

_URI_RULES = rules(
    Rule(PRINTABLE, "the uri must consist of ASCII characters, without spaces and without '|'"),
    Rule(
        f"!{PRINTABLE} || {_SCHEME}",
        "the uri must begin with rtmp://, rtmps:// or srt://",
    ),
    Rule(
        f"!({PRINTABLE} && {_SCHEME}) || !{USERINFO}",
        "the uri must not carry a user or password, because everybody who can read the Restream "
        "would see it; put the whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE} && {SRT}) || !{NO_CALLER}",
        "a restream calls its target, so the mode of an SRT target can only be caller: let the "
        "target listen and use mode=caller here",
    ),
    Rule(
        f"!({_FINE} && {SRT}) || {NO_CALLER} || {SRT_QUERY}",
        "of an SRT uri's options only mode and latency may stand here; a streamid belongs into "
        "streamKeySecretRef and a passphrase into passphraseSecretRef, or put the whole uri into a "
        "Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE} && {_RTMP}) || !{QUERY}",
        "the uri must not carry a query or fragment, because that is where keys stand; put the "
        "whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE_RTMP} || {_FINE_SRT}) || {SERVER}",
        "the uri must name a server: a host name or an address, and perhaps a port",
    ),
    Rule(
        f"!({_FINE_RTMP} && {SERVER}) || {_APP}",
        "the uri must be rtmp://SERVER/APP or rtmps://SERVER/APP; the stream key comes from "
        "streamKeySecretRef",
    ),
    Rule(
        f"!({_FINE_SRT} && {SERVER}) || ({SRT_PORT} && {_NO_PATH})",
        "an SRT uri must be srt://SERVER:PORT, perhaps with ?latency=MILLISECONDS",
    ),
)


class Retry(ApiModel):
    """How a lost target is dialled again."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.minSeconds <= self.maxSeconds",
                "minSeconds must not be greater than maxSeconds",
            )
        )
    )

    min_seconds: Annotated[int, Field(ge=1, le=60)] = 1
    """Pause before the first retry; it doubles with each failure."""
    max_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    """Longest pause between retries."""
    give_up_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0
    """Without success for so long no more retries are made (state GaveUp); 0: never give up."""


class RestreamSpec(ApiModel):
    """What to push where."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "has(self.uri) != has(self.uriSecretRef)",
                "exactly one of uri and uriSecretRef must be set",
            ),
            Rule(
                "!has(self.uri) || !self.uri.startsWith('rtmp') || has(self.streamKeySecretRef)",
                "beside an rtmp or rtmps uri, streamKeySecretRef is required: the Secret that "
                "holds the stream key",
            ),
            Rule(
                "!has(self.caSecretRef) || !has(self.uri) || self.uri.startsWith('rtmps://')",
                "caSecretRef is about the certificate of an rtmps:// target; remove it, or use "
                "rtmps://",
            ),
            Rule(
                "!has(self.passphraseSecretRef) || !has(self.uri) || self.uri.startsWith('srt://')",
                "passphraseSecretRef encrypts what goes to an srt:// target; RTMP has no "
                "passphrase: remove it, and use rtmps:// for encryption",
            ),
            Rule(
                "!(has(self.uriSecretRef) && has(self.caSecretRef)"
                " && has(self.passphraseSecretRef))",
                "caSecretRef is for an rtmps target and passphraseSecretRef for an srt one: no "
                "target takes both",
            ),
        )
    )

    title: Annotated[str, Field(max_length=255)] = ""
    """Title, for people."""
    stream_ref: LocalRef
    """The LiveStream to push. It may be off air or not even exist yet: then it is waited for."""
    active: bool = True
    """false: nothing is pushed."""
    uri: (
        Annotated[str, Field(min_length=1, max_length=1_024, json_schema_extra=_URI_RULES)] | None
    ) = None
    """The target, when nothing in it is secret: rtmp://SERVER/APP, rtmps://SERVER/APP or
    srt://SERVER:PORT, which may say ?latency=MILLISECONDS."""
    uri_secret_ref: SecretKeyRef | None = None
    """Secret with the target's whole uri, when something in it is secret: the server and app, or
    with the stream key behind it; of SRT also with streamid and passphrase."""
    stream_key_secret_ref: SecretKeyRef | None = None
    """Secret with the stream key, as the platform gives it; of an SRT target the streamid."""
    passphrase_secret_ref: SecretKeyRef | None = None
    """Secret with the passphrase, 10 to 79 characters, that an SRT target is encrypted with."""
    ca_secret_ref: SecretKeyRef | None = None
    """Secret with the certificate authorities (PEM) that an rtmps target's certificate is verified
    with, when they are not the public ones."""
    audio: Literal["Keep", "Drop", "Silence"] = "Keep"
    """Keep: as it comes. Drop: video alone. Silence: a silent track in place of what comes, also
    when nothing does: some platforms take no video without one."""
    video_codecs: Literal["Announced", "Assume"] = "Assume"
    """What an rtmp or rtmps target is taken to decode beside H.264. Assume: what the stream has;
    most servers that take HEVC do not announce it. Announced: HEVC is pushed only to a server that
    announces it (Enhanced RTMP v2)."""
    retry: Retry = Retry()
    """How a lost target is dialled again."""


class LastError(ApiModel):
    """The last thing that went wrong with the target."""

    class_: Annotated[str, Field(alias="class", max_length=32)]
    """Dns, Refused, Reset, Timeout, BadName, Unauthorized, Tls, Unsupported, Forbidden,
    Closed."""
    message: Annotated[str, Field(max_length=1_024)]
    """What happened, in words."""
    at: datetime
    """When (UTC)."""


class RestreamStatus(ApiModel):
    """What the pusher measures."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """The generation of the spec that this status was decided about; -1: not decided yet."""
    live: bool | None = None
    """The target accepted the publish, and the bytes leave."""
    state: Annotated[str, Field(max_length=32)] | None = None
    """What the pusher does now: Idle, Connecting, Live, Waiting (the source is interrupted, the
    connection is held), Stalled, Backoff, Rejected or GaveUp."""
    target: Annotated[str, Field(max_length=1_024)] | None = None
    """Where it pushes to, without anything secret."""
    started_at: datetime | None = None
    """Since when the present connection delivers (UTC)."""
    attempts: Annotated[int, Field(ge=0)] | None = None
    """How often the target was dialled since the pusher started."""
    reconnects: Annotated[int, Field(ge=0)] | None = None
    """How often a connection that had delivered was lost and made again."""
    bytes_sent: Annotated[int, Field(ge=0)] | None = None
    """What went to the target since the pusher started, at observedAt."""
    dropped_frames: Annotated[int, Field(ge=0)] | None = None
    """Pictures (audio frames of a stream without video) that were left out since the pusher
    started, because the target took less than the stream; counted at observedAt."""
    observed_at: datetime | None = None
    """When bytesSent and droppedFrames were counted (UTC)."""
    last_error: LastError | None = None
    """The last thing that went wrong with the target."""
    conditions: Conditions | None = None
    """Ready: set up as asked for. Live: the target takes the stream. UpdatePending, Reconciling,
    Stalled: only while true."""


class Restream(Resource):
    """A push of a LiveStream to one target, such as another platform."""

    crd: ClassVar[CrdNames] = CrdNames(
        kind="Restream",
        plural="restreams",
        singular="restream",
        short_name="rst",
        columns=(
            Column("Stream", "string", ".spec.streamRef.name", "The LiveStream."),
            Column("Target", "string", ".status.target", "Where it pushes to."),
            Column(
                "Live",
                "string",
                '.status.conditions[?(@.type=="Live")].status',
                "The target takes the stream.",
            ),
            Column("State", "string", ".status.state", "What the pusher does now."),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
            Column(
                "Reason",
                "string",
                '.status.conditions[?(@.type=="Live")].reason',
                "Why it is live or not.",
                priority=1,
            ),
        ),
        selectable_fields=(".spec.streamRef.name",),
        name_rules=dns_label_rule("Restream", 56, letter_first=False),
    )

    spec: RestreamSpec
    """What to push where."""
    status: RestreamStatus | None = None
    """What is measured; written by the operator."""
