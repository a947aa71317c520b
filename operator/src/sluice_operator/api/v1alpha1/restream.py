"""Restream: push a LiveStream to one target."""

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

# At most one rule is broken at a time, so that a user reads one message and not five.
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
        "a Restream calls its target, so the mode of an SRT target can only be caller: let the "
        "target listen and use mode=caller here",
    ),
    Rule(
        f"!({_FINE} && {SRT}) || {NO_CALLER} || {SRT_QUERY}",
        "of the options of an SRT uri, only mode and latency may stand here; a streamid belongs "
        "into streamKeySecretRef and a passphrase into passphraseSecretRef, or put the whole uri "
        "into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE} && {_RTMP}) || !{QUERY}",
        "the uri must not carry a query or fragment, because these often contain a key; put the "
        "whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!({_FINE_RTMP} || {_FINE_SRT}) || {SERVER}",
        "the uri must name a server: a host name or an address, and optionally a port",
    ),
    Rule(
        f"!({_FINE_RTMP} && {SERVER}) || {_APP}",
        "the uri must be rtmp://SERVER/APP or rtmps://SERVER/APP; the stream key comes from "
        "streamKeySecretRef",
    ),
    Rule(
        f"!({_FINE_SRT} && {SERVER}) || ({SRT_PORT} && {_NO_PATH})",
        "an SRT uri must be srt://SERVER:PORT, optionally with ?latency=MILLISECONDS",
    ),
)


class Retry(ApiModel):
    """Retries after a lost or refused connection."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule(
                "self.minSeconds <= self.maxSeconds",
                "minSeconds must not be greater than maxSeconds",
            )
        )
    )

    min_seconds: Annotated[int, Field(ge=1, le=60)] = 1
    """Pause in seconds before the first retry. The pause doubles with each failure."""
    max_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    """Longest pause in seconds between retries."""
    give_up_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0
    """Time in seconds without success after which no more retries are made (state GaveUp). 0: no
    limit."""


class RestreamSpec(ApiModel):
    """Desired push of a stream to a target."""

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
                "passphraseSecretRef is only for an srt:// target; RTMP has no passphrase: remove "
                "it, and use rtmps:// for encryption",
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
    """Title for people."""
    stream_ref: LocalRef
    """The LiveStream to push. If it is off air or does not exist yet, the Restream waits for it."""
    active: bool = True
    """false: nothing is pushed, and the connection to the target is closed."""
    uri: (
        Annotated[str, Field(min_length=1, max_length=1_024, json_schema_extra=_URI_RULES)] | None
    ) = None
    """URI of the target, if it contains no secret: rtmp://SERVER/APP, rtmps://SERVER/APP or
    srt://SERVER:PORT, optionally with ?latency=MILLISECONDS."""
    uri_secret_ref: SecretKeyRef | None = None
    """Secret with the whole URI of the target. Use it if the URI contains a secret. An RTMP URI may
    end with the stream key; an SRT URI may contain streamid and passphrase."""
    stream_key_secret_ref: SecretKeyRef | None = None
    """Secret with the stream key that the platform gave you. For an SRT target: the streamid."""
    passphrase_secret_ref: SecretKeyRef | None = None
    """Secret with the passphrase (10 to 79 characters) that encrypts the stream to an SRT
    target."""
    ca_secret_ref: SecretKeyRef | None = None
    """Secret with the certificate authorities (PEM) that verify the certificate of an rtmps target.
    Absent: the public authorities."""
    audio: Literal["Keep", "Drop", "Silence"] = "Keep"
    """Keep: the audio of the stream. Drop: no audio. Silence: a silent audio track, also if the
    stream has no audio; some platforms refuse video without audio."""
    video_codecs: Literal["Announced", "Assume"] = "Assume"
    """Video codecs beside H.264 that are pushed to an rtmp or rtmps target. Assume: the codec of
    the stream, because most servers that accept HEVC do not announce it. Announced: HEVC only if
    the server announces it (Enhanced RTMP v2)."""
    retry: Retry = Retry()
    """Retries after a lost or refused connection."""


class LastError(ApiModel):
    """The last error of the connection to the target."""

    class_: Annotated[str, Field(alias="class", max_length=32)]
    """Kind of the error: Dns, Refused, Reset, Timeout, BadName, Unauthorized, Tls, Unsupported,
    Forbidden or Closed."""
    message: Annotated[str, Field(max_length=1_024)]
    """Description of the error, as a sentence."""
    at: datetime
    """Time of the error (UTC)."""


class RestreamStatus(ApiModel):
    """Measurements of the pusher."""

    observed_generation: Annotated[int, Field(ge=-1)] | None = None
    """Generation of the spec that this status was computed from. -1: not computed yet."""
    live: bool | None = None
    """true: the target accepted the stream and receives it."""
    state: Annotated[str, Field(max_length=32)] | None = None
    """State of the pusher: Idle, Connecting, Live, Waiting (the source is interrupted, and the
    connection stays open), Stalled, Backoff, Rejected or GaveUp."""
    target: Annotated[str, Field(max_length=1_024)] | None = None
    """URI of the target, without secrets."""
    started_at: datetime | None = None
    """Time since which the present connection sends media (UTC)."""
    attempts: Annotated[int, Field(ge=0)] | None = None
    """Number of connection attempts since the pusher started."""
    reconnects: Annotated[int, Field(ge=0)] | None = None
    """Number of connections that had sent media, were lost, and were made again."""
    bytes_sent: Annotated[int, Field(ge=0)] | None = None
    """Bytes sent to the target since the pusher started, at observedAt."""
    dropped_frames: Annotated[int, Field(ge=0)] | None = None
    """Video frames (audio frames in a stream without video) that were dropped since the pusher
    started, because the target accepted less than the stream has, at observedAt."""
    observed_at: datetime | None = None
    """Time at which bytesSent and droppedFrames were counted (UTC)."""
    last_error: LastError | None = None
    """The last error of the connection to the target."""
    conditions: Conditions | None = None
    """Ready: set up as specified. Live: the target receives the stream. UpdatePending, Reconciling
    and Stalled are present only while true."""


class Restream(Resource):
    """A push of a LiveStream to one target, such as another platform."""

    crd: ClassVar[CrdNames] = CrdNames(
        kind="Restream",
        plural="restreams",
        singular="restream",
        short_name="rst",
        columns=(
            Column("Stream", "string", ".spec.streamRef.name", "The LiveStream."),
            Column("Target", "string", ".status.target", "URI of the target, without secrets."),
            Column(
                "Live",
                "string",
                '.status.conditions[?(@.type=="Live")].status',
                "The target receives the stream.",
            ),
            Column("State", "string", ".status.state", "State of the pusher."),
            Column("Age", "date", ".metadata.creationTimestamp", "Time since creation."),
            Column(
                "Reason",
                "string",
                '.status.conditions[?(@.type=="Live")].reason',
                "Reason of the condition Live.",
                priority=1,
            ),
        ),
        selectable_fields=(".spec.streamRef.name",),
        name_rules=dns_label_rule("Restream", 56, letter_first=False),
    )

    spec: RestreamSpec
    """Desired push of a stream to a target."""
    status: RestreamStatus | None = None
    """Observed state of the restream, written by the operator."""
