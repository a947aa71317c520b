"""A Recording whose recorder has finished, for tests of the facts that are gathered about it."""

from __future__ import annotations

from typing import Any

from sluice_media.contract import (
    RecordedFile,
    RecorderPhase,
    RecorderStatus,
    StoredResult,
    StoreStatus,
)
from sluice_operator.controllers.recording import RecordingController
from sluice_operator.pods.store_client import StoreClient
from tests.support.controller_world import (
    NOW,
    World,
    make,
    make_pod,
    make_recording,
    make_token_secret,
)


class Recorded:
    """A Recording whose recorder has finished, and the store pod with its result."""

    def __init__(self) -> None:
        self.world = World()
        self.store = self.world.put(make("MediaStore", "default"))
        self.world.put(make_token_secret("default-store", self.store, "store-token"))
        self.world.put(make_pod(self.store, "store-pod"))
        self.recording = self.world.put(make_recording())
        self.uid = self.recording["metadata"]["uid"]
        context = self.world.context
        self.stores = StoreClient(
            context.cache, context.samples, context.clock, self.world.http, context.status_token
        )
        self.controller = RecordingController(context, self.stores)
        result = StoredResult(uid=self.uid, state="Finalizing")
        self.path = f"/v1/recordings/{self.uid}"
        self.world.http.answers["GET", self.path] = (200, result.to_json().encode())
        self.world.http.answers["PUT", self.path] = (200, b"{}")

    def recorder_reports(self, phase: RecorderPhase, index: int = 1, older_files: int = 0) -> None:
        file = RecordedFile(index=index, name="f", state="Recording", started_at=NOW)
        status = RecorderStatus(
            pod_uid="r",
            version=1,
            observed_at=NOW,
            phase=phase,
            files=[file],
            older_files=older_files,
        )
        self.world.samples.answered(self.uid, "r", "2026", status)

    def ended(
        self, *, state: str = "Ready", file: Any = None, damage: Any = None, **spec: Any
    ) -> dict[str, Any]:
        """Return the Recording after its files are complete."""
        files = [{"index": 1, "state": state, **(file or {})}]
        status = {
            "phase": "Completed",
            "files": files,
            "recordingStartedAt": "2026-03-01T12:00:00Z",
            "damage": damage,
        }
        spec = {**self.recording["spec"], **spec}
        return self.world.change(self.recording, spec=spec, status=status)

    def store_reports(self, version: int) -> None:
        status = StoreStatus(
            pod_uid="s", version=version, observed_at=NOW, changed={self.uid: version}
        )
        self.world.samples.answered(self.store["metadata"]["uid"], "s", "2026", status)
