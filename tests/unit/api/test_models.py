"""The models read what the API server stores: defaults, and fields of a newer version."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sluice_operator.api.v1alpha1 import (
    LiveStreamSpec,
    MediaStoreSpec,
    RecordingSpec,
    RestreamSpec,
)


def test_a_livestream_needs_nothing_but_its_name() -> None:
    spec = LiveStreamSpec.model_validate({})
    assert spec.active
    assert spec.source.push is not None
    assert spec.source.push.protocols == ["RTMP", "RTMPS", "SRT", "WHIP"]
    assert spec.source.push.backup.enabled
    assert spec.source.pull is None
    assert spec.failover.stall_milliseconds == 800
    assert spec.resume_window_seconds == 10
    assert spec.update_policy == "WhenIdle"


def test_playback_needs_nothing_but_to_be_named() -> None:
    assert LiveStreamSpec.model_validate({}).playback is None
    playback = LiveStreamSpec.model_validate({"playback": {}}).playback
    assert playback is not None
    assert (playback.replicas, playback.segment_seconds, playback.dvr_seconds) == (1, 2, 0)
    formats = [(f.enabled, f.end_list) for f in (playback.hls, playback.dash, playback.hls_mpegts)]
    assert formats == [(True, True), (True, True), (False, False)]
    assert (playback.access, playback.projection) == ("Public", "Regular")
    assert (playback.screenshot.interval_seconds, playback.screenshot.keep_last) == (10, False)


def test_a_recording_needs_nothing_but_its_stream() -> None:
    spec = RecordingSpec.model_validate({"streamRef": {"name": "a"}})
    assert spec.desired_state == "Recording"
    assert (spec.rearm_seconds, spec.minimum_seconds, spec.store_ref) == (3600, 10, None)
    assert (spec.split_seconds, spec.max_duration_seconds) == (14_400, None)
    assert (spec.start_when_live, spec.record_type) == (True, "Origin")
    assert (spec.retention.seconds, spec.retention.keep_original) == (None, False)
    assert spec.deletion_policy == "Retain"


def test_a_restream_never_gives_up_by_default() -> None:
    spec = RestreamSpec.model_validate({"streamRef": {"name": "a"}, "uri": "rtmp://h/app"})
    assert spec.active
    assert spec.retry.give_up_seconds == 0


def test_fields_of_a_newer_version_are_tolerated() -> None:
    spec = LiveStreamSpec.model_validate({"dvr": {"enabled": True}, "title": "x"})
    assert spec.title == "x"


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (LiveStreamSpec, {"resumeWindowSeconds": 1801}),
        (LiveStreamSpec, {"playback": {"dvrSeconds": 14_401}}),
        (LiveStreamSpec, {"playback": {"access": "Private"}}),
        (LiveStreamSpec, {"source": {"push": {"protocols": ["RIST"]}}}),
        (RecordingSpec, {}),
        (RestreamSpec, {"streamRef": {"name": "Not a name"}}),
        (MediaStoreSpec, {"persistentVolumeClaim": {"template": {"size": "much"}}}),
    ],
)
def test_what_the_schema_refuses_is_refused_here_too(model: Any, value: Any) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(value)


def test_quantities_are_kept_as_they_were_written() -> None:
    spec = LiveStreamSpec.model_validate(
        {"workload": {"resources": {"requests": {"cpu": 2, "memory": "64Mi"}}}}
    )
    assert spec.workload is not None
    assert spec.workload.resources is not None
    assert spec.workload.resources.requests == {"cpu": 2, "memory": "64Mi"}
