"""The recorder of a Recording: its configuration, its children, and its readiness."""

from __future__ import annotations

from sluice_media.contract import BucketLocation, RecorderConfig
from sluice_operator.api.v1alpha1.reasons import EventReason, ReadyReason
from sluice_operator.domain.decision import Child, Deletion
from sluice_operator.domain.livestream.auto_recording import session_of
from sluice_operator.domain.manifests.config import CONFIG_KEY, Configuration, configuration
from sluice_operator.domain.manifests.place import store_place
from sluice_operator.domain.manifests.pod import spool_limit_in
from sluice_operator.domain.manifests.recorder import RecorderOrders, recorder_config, recorder_job
from sluice_operator.domain.manifests.secret import token_secret
from sluice_operator.domain.names import STATUS_SECRET
from sluice_operator.domain.readiness import Readiness, pod_readiness, ready, with_secret_keys
from sluice_operator.domain.recording.facts import RecordingFacts
from sluice_operator.domain.recording.start import store_trouble
from sluice_operator.domain.streams import is_there, stream_ref, stream_workload


def recorder_configuration(facts: RecordingFacts) -> Configuration:
    observed, owner = facts.observed, facts.owner
    stream = None
    if facts.presence == "There" and is_there(observed.stream) and observed.stream is not None:
        stream = stream_ref(observed.stream, observed.settings)
    s3, uri_base = _place(facts)
    spool = observed.settings.recorder_spool_bytes
    fits = spool_limit_in(facts.job)
    orders = RecorderOrders(
        stream=stream,
        stopped=facts.deleted or facts.stopped,
        keep_all=facts.deleted and not facts.stopped,
        session_started_at=session_of(observed.raw),
        s3=s3,
        uri_base=uri_base,
        # The setting may be larger than at the creation of the Job, whose volume cannot grow.
        spool_limit_bytes=spool if fits is None else min(spool, fits),
    )
    return configuration(owner, recorder_config(owner, facts.spec, orders))


def _place(facts: RecordingFacts) -> tuple[BucketLocation | None, str]:
    """Return the place that the recorder writes to. The place stays known when the MediaStore is
    deleted."""
    if facts.observed.store is not None:
        place = store_place(facts.observed.store)
        return place.s3, place.uri_base
    known = facts.observed.children.get(("ConfigMap", facts.owner.workload_name))
    if known is None:
        return None, ""
    config = RecorderConfig.model_validate_json(known["data"][CONFIG_KEY])
    return config.s3, config.uri_base


def recorder_children(facts: RecordingFacts, config: Configuration) -> tuple[Child, ...]:
    observed, owner = facts.observed, facts.owner
    children = [Child(config.manifest)]
    if observed.hub_token:
        secret = token_secret(owner, STATUS_SECRET["Recording"], observed.hub_token)
        children.insert(0, Child(secret))
    if observed.store is not None:
        workload = stream_workload(observed.stream)
        place = store_place(observed.store)
        job = recorder_job(owner, observed.settings, place, workload)
        children.append(Child(job, create_only=True))
    return tuple(children)


def recorder_deletions(facts: RecordingFacts) -> tuple[Deletion, ...]:
    """Return the deletions of the Job, and of the objects that only its pod needed."""
    found = []
    for (kind, name), child in sorted(facts.observed.children.items()):
        if kind not in {"Job", "ConfigMap", "Secret"} or name != facts.owner.workload_name:
            continue
        found.append(
            Deletion(
                api_version="batch/v1" if kind == "Job" else "v1",
                kind=kind,
                name=name,
                uid=child["metadata"]["uid"],
                # Job, ConfigMap and Secret get one event together.
                reason=EventReason.RECORDER_FINISHED if kind == "Job" else "",
                text="The Recording is over; its recorder is deleted.",
            )
        )
    return tuple(found)


def recorder_readiness(facts: RecordingFacts) -> Readiness:
    observed = facts.observed
    found = pod_readiness(
        facts.owner,
        facts.stored,
        what="recorder",
        pods=observed.pods,
        sample=observed.sample,
        workload=facts.job,
        operator_uptime_seconds=observed.operator_uptime_seconds,
        trouble_seconds=observed.settings.pod_trouble_seconds,
        now=facts.now,
        when_ready=ready(ReadyReason.CONFIGURED, "The recorder is in place."),
    )
    if found.status != "True" and facts.recorder is None and observed.store is not None:
        trouble = store_trouble(observed.store)
        if trouble is not None:
            return trouble
    secrets = store_place(observed.store).secrets if observed.store is not None else ()
    return with_secret_keys(found, secrets)
