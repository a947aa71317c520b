"""The children of a LiveStream for its playback: Secrets, configuration, Service, Deployment.

One play pod is replaced only off air, or at once with ``updatePolicy: Immediate``. Several are
replaced one after the other, also on air: a new one is ready only when it has its sibling's window,
so viewers do not notice it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sluice_media.contract import PLAY_PORT
from sluice_operator.domain.decision import Child, Deletion, PodAnnotations, PodConfigHash
from sluice_operator.domain.livestream.facts import LiveStreamFacts
from sluice_operator.domain.livestream.playback.facts import PlaybackFacts
from sluice_operator.domain.manifests.config import Configuration, configuration
from sluice_operator.domain.manifests.play import play_config, play_template
from sluice_operator.domain.manifests.pod import overlapping_deployment, template_hash
from sluice_operator.domain.manifests.secret import PlaybackKeys, edge_secret, playback_secret
from sluice_operator.domain.manifests.service import service
from sluice_operator.domain.names import PLAY_CHILDREN, ROTATE_PLAYBACK_ANNOTATION, child_name
from sluice_operator.domain.protection import (
    BUDGET,
    budget,
    budget_deletion,
    find_foreign_budget,
    pod_protection,
)
from sluice_operator.domain.rollout import Rollout, Use, plan_rollout
from sluice_operator.domain.samples import fresh, nudges


@dataclass(slots=True, frozen=True)
class PlayPlan:
    """The desired play pods: their template, their configuration, their rollout, and the keys."""

    template: dict[str, Any]
    config: Configuration
    rollout: Rollout
    keys: PlaybackKeys


def plan_play(facts: PlaybackFacts) -> PlayPlan:
    template = play_template(facts.owner, facts.spec, facts.playback, facts.settings)
    config = play_config(facts.owner, facts.spec, facts.playback, facts.settings)
    return PlayPlan(
        template=template,
        config=configuration(facts.owner, config),
        rollout=_rollout(facts, template),
        keys=_keys(facts),
    )


def play_children(facts: PlaybackFacts, plan: PlayPlan) -> tuple[Child, ...]:
    owner, secret, token = facts.owner, facts.observed.secret, facts.observed.edge_token
    # Without the version, a key that a user has just written would be overwritten.
    version = secret.version if secret is not None else ""
    return (
        Child(playback_secret(owner, plan.keys), over_version=version),
        *((Child(edge_secret(owner, token)),) if token is not None else ()),
        Child(plan.config.manifest),
        Child(service(owner, "play", PLAY_PORT, headless=True)),
        Child(
            overlapping_deployment(
                owner,
                plan.template,
                replicas=facts.wanted_replicas,
                paused=plan.rollout.paused,
            )
        ),
        *((budget(owner, may_be_unavailable=1),) if _needs_budget(facts) else ()),
    )


def play_deletions(facts: LiveStreamFacts, play: PlaybackFacts | None) -> tuple[Deletion, ...]:
    """Return the children that are not needed any more: all of them without playback."""
    existing = facts.observed.children
    found = []
    old_budget = existing.get((BUDGET[1], facts.owner.of_play_pods().workload_name))
    if old_budget is not None and (play is None or play.wanted_replicas < 2):
        found.append(budget_deletion(old_budget))
    if facts.spec.playback is None:
        for api_version, kind, suffix in PLAY_CHILDREN:
            child = existing.get((kind, child_name(facts.owner.name, suffix)))
            if child is not None:
                meta = child["metadata"]
                found.append(Deletion(api_version, kind, meta["name"], meta["uid"]))
    return tuple(found)


def play_config_hashes(facts: PlaybackFacts, plan: PlayPlan) -> tuple[PodConfigHash, ...]:
    rotation = facts.owner.annotations.get(ROTATE_PLAYBACK_ANNOTATION, "")
    version = hashlib.sha256(rotation.encode()).hexdigest()[:8] if rotation else ""
    only = template_hash(plan.template) if plan.rollout.rolling else None
    return tuple(
        nudge
        for pod in facts.observed.pods
        for nudge in nudges(
            (pod,),
            facts.sample_of(pod),
            plan.config.hash,
            keys_version=version,
            skip_template_other_than=only,
        )
    )


def play_protection(facts: PlaybackFacts) -> tuple[PodAnnotations, ...]:
    """Return the annotations to be changed: a pod that serves a session keeps its node."""
    found: list[PodAnnotations] = []
    for pod in facts.observed.pods:
        status = fresh(facts.sample_of(pod))
        serves = status is not None and status.is_serving
        found += pod_protection((pod,), status, busy=serves)
    return tuple(found)


def _needs_budget(facts: PlaybackFacts) -> bool:
    return facts.wanted_replicas > 1 and find_foreign_budget(facts.owner, facts.conflicts) is None


def _rollout(facts: PlaybackFacts, template: dict[str, Any]) -> Rollout:
    answers = facts.answers
    several = facts.playback.replicas > 1
    return plan_rollout(
        deployment=facts.deployment,
        pods=facts.observed.pods,
        template_hash=template_hash(template),
        immediate=several or facts.spec.update_policy == "Immediate",
        use=Use(known=bool(answers), busy=any(status.is_serving for status in answers)),
    )


def _keys(facts: PlaybackFacts) -> PlaybackKeys:
    """Return the signing keys, and the rotation request that they answer.

    Keys in the Secret are input. A new key replaces a missing one. When the annotation requests
    another rotation than the last one in the Secret, the present key becomes the former one."""
    rotation = facts.owner.annotations.get(ROTATE_PLAYBACK_ANNOTATION, "")
    known, fresh_key = facts.observed.secret, facts.observed.fresh_key
    if known is None or known.key is None:
        former = known.previous_key if known is not None else None
        return PlaybackKeys(fresh_key, former, rotation)
    if rotation and rotation != (known.rotation or ""):
        return PlaybackKeys(fresh_key, known.key, rotation)
    return PlaybackKeys(known.key, known.previous_key, known.rotation)
