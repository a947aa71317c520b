"""One target, one Restream: a target may have no publisher for a moment, but never two."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice_media.contract import PushState, target_clearance
from sluice_operator.domain.observed import Rival
from tests.unit.domain.builders import RestreamCase, at, make_restream

DIGEST = "00112233aabbccdd"
TOKEN = "b" * 32
CLEARED = target_clearance(DIGEST, TOKEN)


def checking(name: str = "m") -> RestreamCase:
    """Return a Restream whose pusher has shown its target, which was not compared yet."""
    case = make_restream(name)
    case.settled()
    case.pusher(PushState.IDLE, idle_reason="CheckingTarget", target_digest=DIGEST)
    return case


def live(name: str = "m") -> RestreamCase:
    case = checking(name)
    case.decide()
    case.pusher(PushState.LIVE, target_digest=DIGEST)
    case.decide()
    return case


def rivals(case: RestreamCase, *found: Rival) -> RestreamCase:
    case.facts["rivals"] = found
    return case


def rival(name: str, age: float = 0.0, *, wants: bool = True, busy: bool = False) -> Rival:
    """Return a rival that is ``age`` seconds older than the case."""
    return Rival(name, at(-age), wants=wants, busy=busy)


def config(case: RestreamCase) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(case.child("ConfigMap")["data"]["config.json"])
    return found


def test_nothing_is_cleared_before_the_pusher_has_shown_its_target() -> None:
    case = make_restream("m")
    case.decide()
    assert config(case)["clearedTarget"] == ""


def test_a_target_without_rivals_is_cleared_at_once() -> None:
    case = checking()
    decision = case.decide()
    assert config(case)["clearedTarget"] == CLEARED
    assert len(decision.pod_config_hashes) == 1, "without waiting for the kubelet"
    assert case.word("Live") == "Unknown/Starting"
    assert case.word("Ready") == "True/Configured"


def test_a_configuration_does_not_contain_the_digest() -> None:
    case = live()
    assert DIGEST not in case.child("ConfigMap")["data"]["config.json"]
    assert DIGEST not in json.dumps(case.raw["status"])


def test_the_younger_one_is_stalled_and_the_older_one_named() -> None:
    case = rivals(checking(), rival("elder", 60, busy=True))
    case.decide()
    assert (config(case)["clearedTarget"], config(case)["duplicateOf"]) == ("", "elder")
    assert case.word("Ready") == "False/DuplicateTarget"
    assert case.word("Stalled") == "True/DuplicateTarget"
    assert case.word("Live") == "False/DuplicateTarget"
    assert (case.status["state"], case.status["live"]) == ("Idle", False)
    stalled = case.condition("Stalled")
    assert stalled is not None
    assert stalled.message.startswith("Restream elder pushes to the same target")
    assert case.child("Deployment")["spec"]["replicas"] == 1, "to say when its target changes"


def test_the_pushers_own_message_does_not_hide_the_name_of_the_other() -> None:
    case = rivals(checking(), rival("elder", 60))
    case.decide()
    case.pusher(
        PushState.IDLE,
        target_digest=DIGEST,
        config_error="Another one has this target.",
        config_error_reason="DuplicateTarget",
    ).decide()
    ready = case.condition("Ready")
    assert ready is not None
    assert "elder" in ready.message


@pytest.mark.parametrize(("other", "refused"), [("a", True), ("z", False)])
def test_of_two_made_in_one_second_the_name_decides(other: str, refused: bool) -> None:
    case = rivals(checking("m"), rival(other))
    case.decide()
    assert (config(case).get("duplicateOf") == other) is refused
    assert config(case)["clearedTarget"] == ("" if refused else CLEARED)


def test_the_first_of_several_is_named() -> None:
    case = rivals(checking(), rival("b", 60), rival("c", 90), rival("a", 60))
    case.decide()
    assert config(case)["duplicateOf"] == "c"


@pytest.mark.parametrize("gone", [(), (rival("elder", 60, wants=False),)])
def test_the_younger_one_wakes_when_the_older_one_has_gone(gone: tuple[Rival, ...]) -> None:
    case = rivals(checking(), rival("elder", 60, busy=True))
    case.decide()
    rivals(case, *gone).decide()
    assert config(case)["clearedTarget"] == CLEARED
    assert "duplicateOf" not in config(case)
    assert case.word("Stalled") == ""


def test_while_the_one_that_was_switched_off_hangs_up_no_other_dials() -> None:
    case = rivals(checking(), rival("elder", 60, busy=True))
    case.decide()
    rivals(case, rival("elder", 60, wants=False, busy=True)).decide()
    assert config(case)["clearedTarget"] == ""
    assert case.word("Stalled") == ""
    rivals(case, rival("elder", 60, wants=False)).decide()
    assert config(case)["clearedTarget"] == CLEARED


def test_an_older_one_that_is_switched_on_waits_until_the_younger_one_hung_up() -> None:
    case = rivals(checking(), rival("younger", -60, busy=True))
    case.decide()
    assert config(case)["clearedTarget"] == ""
    assert case.word("Ready") == "True/Configured"
    rivals(case, rival("younger", -60)).decide()
    assert config(case)["clearedTarget"] == CLEARED


def test_a_younger_restream_does_not_disturb_an_older_one_that_pushes() -> None:
    case = live()
    rivals(case, rival("younger", -60, busy=True)).decide()
    assert config(case)["clearedTarget"] == CLEARED
    assert case.word("Live") == "True/Publishing"


def test_another_target_is_compared_before_it_is_dialled() -> None:
    case = live()
    case.pusher(PushState.IDLE, idle_reason="CheckingTarget", target_digest="f" * 16)
    rivals(case, rival("elder", 60)).decide()
    assert config(case)["clearedTarget"] == ""
    assert config(case)["duplicateOf"] == "elder"


def renamed() -> RestreamCase:
    """It was live, its Secret names an older one's target now, and it has not read yet that its
    former one is withdrawn."""
    case = live()
    case.pusher(PushState.IDLE, idle_reason="CheckingTarget", target_digest="f" * 16)
    rivals(case, rival("elder", 60)).decide()
    return case


def test_a_withdrawn_clearance_is_kept_until_the_pusher_has_read_the_withdrawal() -> None:
    case = renamed()
    assert config(case)["withdrawnTargets"] == [CLEARED]
    case.pusher(PushState.IDLE, target_digest="f" * 16, config_hash="the one before").decide()
    assert config(case)["withdrawnTargets"] == [CLEARED]
    case.pusher(PushState.LIVE, target_digest=DIGEST, connected=True).decide()
    assert config(case)["withdrawnTargets"] == [CLEARED], "it has not hung up yet"
    case.pusher(PushState.IDLE, target_digest="f" * 16).decide()
    assert config(case)["withdrawnTargets"] == []


def test_a_withdrawn_clearance_is_dropped_once_no_pod_is_left() -> None:
    case = live()
    case.spec(active=False).decide()
    assert config(case)["withdrawnTargets"] == [CLEARED]
    case.facts["pods"] = ()
    case.decide()
    assert config(case)["withdrawnTargets"] == []


def test_a_withdrawn_clearance_waits_for_a_terminating_pod_until_its_time_is_up() -> None:
    case = live()
    case.pod(ready=False, ends_by=at(30)).spec(active=False).decide()
    decision = case.later(1, in_touch=False).decide()
    assert config(case)["withdrawnTargets"] == [CLEARED], "it may be connected still"
    assert decision.requeue_after_seconds is not None, (
        "nothing causes a pass when the pod of a lost node ends"
    )
    case.later(31).decide()
    assert config(case)["withdrawnTargets"] == []


def test_a_withdrawn_target_that_is_cleared_again_is_simply_cleared() -> None:
    case = renamed()
    case.pusher(PushState.IDLE, target_digest=DIGEST, config_hash="the one before")
    rivals(case).decide()
    assert config(case)["clearedTarget"] == CLEARED
    assert config(case)["withdrawnTargets"] == []


def test_switched_off_it_has_to_ask_again() -> None:
    case = live()
    case.spec(active=False).decide()
    assert config(case)["clearedTarget"] == ""


def test_an_operator_that_just_started_leaves_everything_as_it_is() -> None:
    case = live()
    case.later(600).operator_restarted().decide()
    assert config(case)["clearedTarget"] == CLEARED
    case.pusher(PushState.LIVE, target_digest=DIGEST)
    decision = case.decide()
    assert config(case)["clearedTarget"] == CLEARED
    assert decision.requeue_after_seconds == pytest.approx(9.1)


def test_an_operator_that_just_started_clears_nothing_before_all_have_answered() -> None:
    case = checking().operator_up_for(3)
    decision = case.decide()
    assert config(case)["clearedTarget"] == ""
    assert decision.requeue_after_seconds == pytest.approx(7.1)
    case.operator_up_for(11).decide()
    assert config(case)["clearedTarget"] == CLEARED


def test_a_pusher_that_an_older_operator_set_up_is_not_held_back() -> None:
    case = live()
    name = ("ConfigMap", "m-push")
    document = config(case)
    del document["clearedTarget"]
    stored = {**case.facts["children"][name], "data": {"config.json": json.dumps(document)}}
    case.facts["children"] = {**case.facts["children"], name: stored}
    case.operator_up_for(3).decide()
    assert "clearedTarget" not in config(case)
    case.operator_up_for(11).decide()
    assert config(case)["clearedTarget"] == CLEARED


def test_an_unreadable_config_map_is_made_anew() -> None:
    case = live()
    name = ("ConfigMap", "m-push")
    case.facts["children"] = {
        **case.facts["children"],
        name: {**case.facts["children"][name], "data": {"config.json": "[]"}},
    }
    case.decide()
    assert config(case)["clearedTarget"] == CLEARED
