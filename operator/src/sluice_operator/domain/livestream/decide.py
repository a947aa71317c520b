"""LiveStream: its ingest pod, its play pods, its automatic Recordings, and its status."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sluice_media.contract import IngestStatus
from sluice_operator.domain.decision import Child, Decision, Deletion, PodConfigHash
from sluice_operator.domain.livestream.broadcast import SourceKind, on_air
from sluice_operator.domain.livestream.children import IngestPlan, livestream_children, plan_ingest
from sluice_operator.domain.livestream.facts import LiveStreamFacts
from sluice_operator.domain.livestream.playback.decide import decide_playback
from sluice_operator.domain.livestream.status import (
    conditions_of,
    event_types,
    livestream_readiness,
    status_of,
)
from sluice_operator.domain.manifests.pod import template_hash
from sluice_operator.domain.names import ROTATE_ANNOTATION, child_name
from sluice_operator.domain.observed import Conflict, ObservedLiveStream
from sluice_operator.domain.owner import Owner, keep_everything
from sluice_operator.domain.pod_view import Raw
from sluice_operator.domain.protection import (
    BUDGET,
    budget_deletion,
    find_foreign_budget,
    less_protected,
    pod_protection,
)
from sluice_operator.domain.readiness import conflict_readiness
from sluice_operator.domain.samples import nudges, seconds_to_stale
from sluice_operator.domain.ticks import (
    OBSERVED_AT,
    RECORDING_OBSERVED_AT,
    hold_ticks,
    is_refresh_due,
)
from sluice_operator.domain.times import soonest, utc_text
from sluice_operator.domain.transitions import events_for

_LIVE_AGE_SECONDS = 30.0
"""Age at which ``observedAt`` of a stream on air is renewed. Answers are up to 26 s apart, so an
``observedAt`` of more than a minute ago means that the status is late."""


def decide(observed: ObservedLiveStream, now: datetime) -> Decision:
    """Return the complete desired state of one LiveStream. Pure."""
    if Owner.of(observed.raw).deleted_at is not None:
        return keep_everything(observed.raw)
    facts = LiveStreamFacts.of(observed, now)
    plan = plan_ingest(facts)
    broadcast = on_air(observed, facts.stored, SourceKind.of(facts.spec), now)
    conflict = conflict_readiness(facts.owner, _conflicts(facts))
    playback = decide_playback(facts, conflict)
    readiness = conflict or playback.conflict or livestream_readiness(facts)
    protection = pod_protection(observed.pods, facts.hub, busy=facts.busy)
    children: tuple[Child, ...] = ()
    config_hashes: tuple[PodConfigHash, ...] = ()
    if conflict is None:
        children = livestream_children(facts, plan)
        config_hashes = _config_hashes(facts, plan)
    refresh = _LIVE_AGE_SECONDS if broadcast.measured_on_air else None
    status, held = hold_ticks(
        status_of(facts, broadcast, playback.view),
        facts.stored.status,
        RECORDING_OBSERVED_AT,
        refresh,
    )
    rollout = plan.rollout.beside(playback.rollout)
    conditions = conditions_of(facts, readiness, broadcast, playback.view, rollout)
    return Decision(
        status=status,
        conditions=conditions,
        children=(*children, *playback.children),
        pod_config_hashes=(*config_hashes, *playback.config_hashes),
        deletions=(*_budget_deletions(facts), *playback.deletions),
        pod_annotations=(*protection, *playback.annotations),
        notices=less_protected(protection, find_foreign_budget(facts.owner, observed.conflicts)),
        requeue_after_seconds=soonest(
            held,
            readiness.look_again_seconds,
            broadcast.look_again_seconds,
            playback.view.look_again_seconds if playback.view is not None else None,
            seconds_to_stale(observed.sample, observed.operator_uptime_seconds),
        ),
        event_reasons=events_for(facts.stored, conditions, event_types(broadcast, playback.view)),
    )


def renews_age(raw: Raw, status: IngestStatus) -> bool:
    """Return whether an answer without news is written only to renew ``observedAt``."""
    measured = {OBSERVED_AT: utc_text(status.observed_at)}
    return status.on_air and is_refresh_due(raw.get("status") or {}, measured, _LIVE_AGE_SECONDS)


def _conflicts(facts: LiveStreamFacts) -> tuple[Conflict, ...]:
    """Return the conflicts that keep the stream from being received.

    A pulled stream has no keys, so a foreign Secret of that name is no conflict. A foreign budget
    is none either: without its own budget the stream is only less protected."""
    unused = {(BUDGET[1], facts.owner.workload_name)}
    unused |= {(conflict.kind, conflict.name) for conflict in facts.play_conflicts}
    if facts.spec.source.push is None:
        unused.add(("Secret", child_name(facts.owner.name, "ingest")))
    return tuple(c for c in facts.observed.conflicts if (c.kind, c.name) not in unused)


def _config_hashes(facts: LiveStreamFacts, plan: IngestPlan) -> tuple[PodConfigHash, ...]:
    rotation = facts.owner.annotations.get(ROTATE_ANNOTATION, "")
    return nudges(
        facts.observed.pods,
        facts.observed.sample,
        plan.config.hash,
        keys_version=_digest(rotation) if rotation else "",
        skip_template_other_than=template_hash(plan.template) if plan.rollout.rolling else None,
    )


def _budget_deletions(facts: LiveStreamFacts) -> tuple[Deletion, ...]:
    existing = facts.observed.children.get((BUDGET[1], facts.owner.workload_name))
    if existing is None or facts.hub is None or facts.busy:
        return ()
    return (budget_deletion(existing),)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
