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

__all__ = ["Restream", "RestreamSpec", "RestreamStatus"]

# The rules exclude each other, so that a user reads one sentence and not five.
_LISTENER = "self.matches('^srt://.*[?&]mode=listener(&.*)?$')"
_LATER = "(self.startsWith('srt://') || self.startsWith('rtmps://'))"
_RTMP = "self.startsWith('rtmp://')"
_USERINFO = "self.matches('^rtmp://[^/]*@')"
_QUERY = "self.matches('[?#]')"
_SERVER_AND_APP = (
    r"self.matches('^rtmp://([-.A-Za-z0-9_]+|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?/[^/]')"
)

_URI_RULES = rules(
    Rule(
        f"!{_LISTENER}",
        "an SRT target in listener mode waits to be called, but a restream calls its target: let "
        "the target listen and use mode=caller here",
    ),
    Rule(
        f"!{_LATER} || {_LISTENER}",
        "srt:// and rtmps:// are not supported yet; use rtmp://",
    ),
    Rule(
        f"{_RTMP} || {_LATER}",
        "the uri must begin with rtmp://",
    ),
    Rule(
        f"!{_RTMP} || !{_USERINFO}",
        "the uri must not carry a user or password, because everybody who can read the Restream "
        "would see it; put the whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!{_RTMP} || {_USERINFO} || !{_QUERY}",
        "the uri must not carry a query or fragment, because that is where keys stand; put the "
        "whole uri into a Secret and name it in uriSecretRef",
    ),
    Rule(
        f"!{_RTMP} || {_USERINFO} || {_QUERY} || {_SERVER_AND_APP}",
        "the uri must be rtmp://SERVER/APP; the stream key comes from streamKeySecretRef",
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
                "!has(self.uri) || has(self.streamKeySecretRef)",
                "beside uri, streamKeySecretRef is required: the Secret that holds the stream key",
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
    """The target's server and app, rtmp://SERVER/APP, when they are no secret."""
    uri_secret_ref: SecretKeyRef | None = None
    """Secret with the target's uri, when that is secret: rtmp://SERVER/APP or with the key."""
    stream_key_secret_ref: SecretKeyRef | None = None
    """Secret with the stream key, as the platform gives it."""
    retry: Retry = Retry()
    """How a lost target is dialled again."""


class LastError(ApiModel):
    """The last thing that went wrong with the target."""

    class_: Annotated[str, Field(alias="class", max_length=32)]
    """Dns, Refused, Reset, Timeout, BadName, Unauthorized, Tls, Unsupported or Closed."""
    message: Annotated[str, Field(max_length=1_024)]
    """What happened, in words."""
    at: datetime
    """When (UTC)."""


class RestreamStatus(ApiModel):
    """What the pusher measures."""

    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation of the spec that this status was decided about."""
    live: bool | None = None
    """The target accepted the publish, and the bytes leave."""
    state: (
        Literal["Idle", "Connecting", "Live", "Waiting", "Stalled", "Backoff", "Rejected", "GaveUp"]
        | None
    ) = None
    """What the pusher does now."""
    target: Annotated[str, Field(max_length=1_024)] | None = None
    """Where it pushes to, without anything secret."""
    started_at: datetime | None = None
    """Since when the present connection delivers (UTC)."""
    attempts: Annotated[int, Field(ge=0)] | None = None
    """How often the target was dialled since the pusher started."""
    reconnects: Annotated[int, Field(ge=0)] | None = None
    """How often a connection that had delivered was lost and made again."""
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
