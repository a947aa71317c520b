"""The annotations that refresh a pod's mounts at once, and the cases without one."""

from __future__ import annotations

from tests.unit.domain.builders import StreamCase, at, make_livestream


def up() -> StreamCase:
    case = make_livestream("a").key("k")
    case.settled().idle().decide()
    return case


def test_a_pod_that_started_with_the_present_configuration_is_left_alone() -> None:
    assert up().decide().pod_config_hashes == ()


def test_a_pod_with_an_old_configuration_is_annotated_once() -> None:
    case = up().spec(title="Evening show")
    (nudge,) = case.decide().pod_config_hashes
    assert (nudge.pod_name, nudge.pod_uid) == ("pod-1", "pod-1")
    assert nudge.value == case.echo()["config_hash"]
    case.pod(config_annotation=nudge.value)
    assert case.decide().pod_config_hashes == ()


def test_a_pod_without_an_answer_is_not_annotated() -> None:
    case = make_livestream("a")
    case.decide()
    assert case.pod().spec(title="x").decide().pod_config_hashes == ()


def test_a_terminating_pod_is_not_annotated() -> None:
    case = up().pod(ends_by=at(30)).spec(title="x")
    assert case.decide().pod_config_hashes == ()


def test_another_pods_answer_is_no_reason() -> None:
    case = up().pod("pod-2").spec(title="x")
    assert case.decide().pod_config_hashes == ()
