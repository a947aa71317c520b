"""The base class of the builders of all kinds.

A builder stands for one object in its cluster. ``decide()`` makes one pass as the engine would:
the decided status is stored (with transition times), the children exist afterwards, and the status
is checked against the schema of the CustomResourceDefinition.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar

from sluice_media.contract import RecordedFile
from sluice_operator.api.v1alpha1 import KINDS
from sluice_operator.crd import crd_manifest
from sluice_operator.domain.decision import Condition, Decision
from sluice_operator.domain.observed import Conflict, DomainSettings, PublicPorts, Sample
from sluice_operator.domain.pod_view import PodView
from tests.support.crd_violations import violations

__all__ = ["NOW", "SETTINGS", "Case", "at", "recorded_file", "text"]

NOW = datetime(2026, 5, 4, 10, 0, 0, tzinfo=UTC)
SETTINGS = DomainSettings(
    media_image="sluice-media:test",
    gateway_public_host="live.example.org",
    gateway_public_ports=PublicPorts(rtmp=1935),
)
STATUS_SCHEMAS = {
    model.crd.kind: crd_manifest(model)["spec"]["versions"][0]["schema"]["openAPIV3Schema"][
        "properties"
    ]["status"]
    for model in KINDS
}

Object = dict[str, Any]
O = TypeVar("O")  # noqa: E741


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def text(seconds: float) -> str:
    """Return the time as a status has it."""
    return at(seconds).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def recorded_file(
    index: int = 1, state: Any = "Recording", seconds: float = 0.0, **more: Any
) -> RecordedFile:
    return RecordedFile(
        index=index,
        name=f"file-{index:03}.mp4",
        state=state,
        started_at=NOW,
        duration_seconds=seconds,
        **more,
    )


class Case(ABC, Generic[O]):
    """The parts that are the same for every kind."""

    kind = ""
    role = ""

    def __init__(self, name: str, spec: Object) -> None:
        self.now = NOW
        self.name = name
        self.raw: Object = {
            "apiVersion": "sluice.video/v1alpha1",
            "kind": self.kind,
            "metadata": {
                "name": name,
                "namespace": "show",
                "uid": f"uid-{name}",
                "generation": 1,
                "creationTimestamp": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "resourceVersion": "1",
            },
            "spec": spec,
        }
        self.facts: dict[str, Any] = {
            "settings": SETTINGS,
            "operator_uptime_seconds": 3600.0,
            "children": {},
            "conflicts": (),
            "pods": (),
            "sample": None,
        }
        self.last: Decision | None = None
        self.store_listens = True

    # ---- the world

    def later(self, seconds: float, *, in_touch: bool = True) -> Self:
        """Let time pass; with ``in_touch`` the pod still sends its heartbeat."""
        self.now += timedelta(seconds=seconds)
        sample = self.facts["sample"]
        if sample is not None and not in_touch:
            self.facts["sample"] = replace(sample, age_seconds=sample.age_seconds + seconds)
        return self

    def spec(self, **changes: Any) -> Self:
        """Change the spec, as the user does."""
        self.raw["spec"] |= changes
        self.raw["metadata"]["generation"] += 1
        return self

    def annotated(self, **annotations: str) -> Self:
        kept = self.raw["metadata"].setdefault("annotations", {})
        kept |= {f"sluice.video/{key.replace('_', '-')}": v for key, v in annotations.items()}
        return self

    def settings(self, **changes: Any) -> Self:
        self.facts["settings"] = replace(self.facts["settings"], **changes)
        return self

    def conflict(self, kind: str, suffix: str, *, leaving: bool = False, held_by: str = "") -> Self:
        conflict = Conflict(kind, f"{self.name}-{suffix}", held_by, leaving)
        self.facts["conflicts"] = (conflict,)
        return self

    def operator_restarted(self) -> Self:
        self.facts |= {"sample": None, "operator_uptime_seconds": 1.0}
        return self

    def operator_up_for(self, seconds: float) -> Self:
        self.facts["operator_uptime_seconds"] = seconds
        return self

    def deleted(self) -> Self:
        self.raw["metadata"]["deletionTimestamp"] = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return self

    # ---- the pod

    def pod(self, name: str = "pod-1", **facts: Any) -> Self:
        """Add a pod, running and ready unless ``facts`` differ."""
        view: dict[str, Any] = {
            "uid": name,
            "created_at": self.now,
            "phase": "Running",
            "ready": True,
            "ip": "10.0.0.1",
            "template_hash": self.template_hash(),
            "volumes": self.template_volumes(),
        } | facts
        self.facts["pods"] = (PodView(name=name, **view),)
        return self

    def no_pod(self) -> Self:
        self.facts["pods"] = ()
        return self

    def template_hash(self) -> str | None:
        for kind in ("Deployment", "Job"):
            child = self.facts["children"].get((kind, f"{self.name}-{self.role}"))
            if child is not None:
                found: str = child["spec"]["template"]["metadata"]["annotations"][
                    "sluice.video/template"
                ]
                return found
        return None

    def template_volumes(self) -> tuple[Any, ...]:
        workload = self.child("Deployment") or self.child("Job")
        return tuple(workload["spec"]["template"]["spec"]["volumes"]) if workload else ()

    def says(self, status: Any, age: float = 0.0) -> Self:
        if not self.facts["pods"]:
            self.pod()
        self.facts["sample"] = Sample(status=status, age_seconds=age)
        return self

    def echo(self) -> Object:
        """Return the pod's answer about itself: it works with the present configuration."""
        pods = self.facts["pods"]
        config = self.child("ConfigMap")
        digest = ""
        if config is not None:
            digest = config["data"]["config.json"].split('"hash":"')[1].split('"')[0]
        return {
            "pod_uid": pods[0].uid if pods else "pod-1",
            "version": 1,
            "observed_at": self.now,
            "config_generation": self.raw["metadata"]["generation"],
            "config_hash": digest,
        }

    # ---- one pass

    @abstractmethod
    def observed(self) -> O: ...

    @abstractmethod
    def _decide(self) -> Decision: ...

    def decide(self) -> Decision:
        decision = self._decide()
        self.last = decision
        before = {c["type"]: c for c in self.raw.get("status", {}).get("conditions", ())}
        status = {
            **decision.status,
            **(decision.status_when_acknowledged if self.store_listens else {}),
            "conditions": [_stamped(c, before.get(c.type), self.now) for c in decision.conditions],
        }
        assert violations(STATUS_SCHEMAS[self.kind], status, "status") == []
        self.raw["status"] = status
        for child in decision.children:
            manifest: Any = child.manifest
            key = manifest["kind"], manifest["metadata"]["name"]
            if child.owned and not (child.create_only and key in self.facts["children"]):
                stored = {**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-{key[1]}"}}
                self.facts["children"] = {**self.facts["children"], key: stored}
        for deletion in decision.deletions:
            kept = dict(self.facts["children"])
            del kept[deletion.kind, deletion.name]
            self.facts["children"] = kept
        return decision

    def settled(self) -> Self:
        """Make a pass, after which its pod comes up."""
        self.decide()
        self.pod()
        return self

    # ---- what came out

    def child(self, kind: str, suffix: str | None = None) -> Any:
        return self.facts["children"].get((kind, f"{self.name}-{suffix or self.role}"))

    def condition(self, type_: str) -> Condition | None:
        assert self.last is not None
        return next((c for c in self.last.conditions if c.type == type_), None)

    def word(self, type_: str) -> str:
        """Return e.g. ``True/OnAir``; empty when there is no such condition."""
        condition = self.condition(type_)
        return f"{condition.status}/{condition.reason}" if condition else ""

    @property
    def status(self) -> Any:
        assert self.last is not None
        return self.last.status


def _stamped(condition: Condition, before: Object | None, now: datetime) -> Object:
    kept = before is not None and before["status"] == condition.status
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": before["lastTransitionTime"]
        if kept and before is not None
        else now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
