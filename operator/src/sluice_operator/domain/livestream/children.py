"""The children of a LiveStream: Secrets, configuration, Service, Deployment, automatic Recordings.

The rollout of the Deployment and the configuration are decided together: the rollout depends on
whether the hub has echoed ``drain``, and ``drain`` on the rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sluice_media.contract import HUB_PORT, IngestConfig, IngestStatus
from sluice_operator.domain.decision import Child
from sluice_operator.domain.livestream.auto_recording import (
    holds_alone,
    new_sessions,
    pins_of,
    wanted_recordings,
)
from sluice_operator.domain.livestream.facts import LiveStreamFacts, carries_media
from sluice_operator.domain.manifests.config import Configuration, configuration, stored_config
from sluice_operator.domain.manifests.ingest import (
    ingest_config,
    ingest_template,
    with_mounted_keys,
)
from sluice_operator.domain.manifests.pod import deployment, template_hash
from sluice_operator.domain.manifests.secret import PublisherKeys, ingest_secret, token_secret
from sluice_operator.domain.manifests.service import service
from sluice_operator.domain.names import HUB_SECRET_SUFFIX, ROTATE_ANNOTATION
from sluice_operator.domain.protection import budget, find_foreign_budget
from sluice_operator.domain.rollout import Rollout, Use, lacks_users_keys, plan_rollout


@dataclass(slots=True, frozen=True)
class IngestPlan:
    """The desired ingest pod: its template, its configuration, its rollout, and the keys."""

    template: dict[str, Any]
    config: Configuration
    rollout: Rollout
    keys: PublisherKeys


def plan_ingest(facts: LiveStreamFacts) -> IngestPlan:
    template = ingest_template(facts.owner, facts.spec, facts.observed.settings)
    config, rollout = _config_and_rollout(facts, template)
    return IngestPlan(template, config, rollout, _publisher_keys(facts))


def livestream_children(facts: LiveStreamFacts, plan: IngestPlan) -> tuple[Child, ...]:
    observed, owner = facts.observed, facts.owner
    hub_token = token_secret(owner, HUB_SECRET_SUFFIX, observed.fresh_hub_token)
    needs_budget = facts.busy and find_foreign_budget(owner, observed.conflicts) is None
    sessions = new_sessions(facts.spec, facts.hub, facts.recorded)
    return (
        *_ingest_secret(facts, plan.keys),
        Child(hub_token, create_only=True),
        Child(plan.config.manifest),
        Child(service(owner, "hub", HUB_PORT)),
        Child(deployment(owner, plan.template, paused=plan.rollout.paused)),
        *wanted_recordings(owner, facts.spec, sessions, observed.recording_names),
        *((budget(owner),) if needs_budget else ()),
    )


# --------------------------------------------------------------------------- publishers' keys


def _ingest_secret(facts: LiveStreamFacts, keys: PublisherKeys) -> tuple[Child, ...]:
    push, known = facts.spec.source.push, facts.observed.ingest_secret
    if push is None:
        return ()
    manifest = ingest_secret(facts.owner, keys, facts.addresses, backup=push.backup.enabled)
    # Without the version, a token that a user has just written would be overwritten.
    return (Child(manifest, over_version=known.version if known is not None else ""),)


def _publisher_keys(facts: LiveStreamFacts) -> PublisherKeys:
    """Return the publishers' keys, and the rotation request that they answer.

    Tokens in the Secret are input. New ones replace missing tokens, and both tokens when the
    annotation requests another rotation than the last one in the Secret."""
    observed = facts.observed
    rotation = facts.owner.annotations.get(ROTATE_ANNOTATION, "")
    known = observed.ingest_secret
    fresh_keys = PublisherKeys(observed.fresh_token, observed.fresh_backup_token, rotation)
    if known is None or (rotation and rotation != (known.rotation or "")):
        return fresh_keys
    return PublisherKeys(
        known.token or fresh_keys.primary, known.backup_token or fresh_keys.backup, known.rotation
    )


# --------------------------------------------------------------------------- rollout


def _config_and_rollout(
    facts: LiveStreamFacts, template: dict[str, Any]
) -> tuple[Configuration, Rollout]:
    observed, hub = facts.observed, facts.hub
    mounted = None
    if lacks_users_keys(observed.pods, template):
        config_map = observed.children.get(("ConfigMap", facts.owner.workload_name))
        mounted = stored_config(IngestConfig, config_map)
    draining = _config(facts, mounted, drain=True)
    pins = pins_of(observed.recordings)
    rollout = plan_rollout(
        deployment=facts.deployment,
        pods=observed.pods,
        template_hash=template_hash(template),
        immediate=facts.spec.update_policy == "Immediate",
        use=_use(
            hub,
            draining.hash,
            holds=hub is not None and holds_alone(hub, facts.recorded, pins),
        ),
    )
    if rollout.drain:
        return draining, rollout
    return _config(facts, mounted if rollout.pending else None, drain=False), rollout


def _config(facts: LiveStreamFacts, mounted: IngestConfig | None, *, drain: bool) -> Configuration:
    config = ingest_config(
        facts.owner,
        facts.spec,
        facts.observed.settings,
        pins_of(facts.observed.recordings),
        recorded=facts.recorded,
        given_up=facts.given_up is not None,
        drain=drain,
    )
    return configuration(facts.owner, with_mounted_keys(config, mounted))


def _use(status: IngestStatus | None, draining_hash: str, *, holds: bool) -> Use:
    """Return the pod's use. ``holds``: there is a session that only this pod's disk has."""
    if status is None:
        return Use(known=False)
    drained = status.config_hash == draining_hash
    # A new hub may adopt a session whose publisher the gateway holds.
    in_use = carries_media(status) or status.adopting
    return Use(known=True, busy=in_use or holds, drained=drained)
