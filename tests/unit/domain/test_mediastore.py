"""MediaStore: its claim, its store pod, and its free space."""

from __future__ import annotations

import pytest

from tests.unit.domain.builders import StoreCase, make_mediastore, text

GIB = 1 << 30


def up() -> StoreCase:
    case = make_mediastore("default").own_claim()
    case.settled().store(used_bytes=5, available_bytes=GIB).decide()
    return case


def test_the_claim_is_made_without_an_owner_and_is_never_changed() -> None:
    claim = make_mediastore("default").decide().children[0]
    assert claim.manifest["kind"] == "PersistentVolumeClaim"
    assert claim.manifest["metadata"]["name"] == "default-store"
    assert (claim.owned, claim.create_only) == (False, True)


def test_a_store_that_can_write_is_ready() -> None:
    case = up()
    assert case.word("Ready") == "True/Configured"
    assert case.status["claimName"] == "default-store"
    assert (case.status["usedBytes"], case.status["observedAt"]) == (5, text(0))


def test_a_missing_claim_is_named_in_the_message() -> None:
    case = make_mediastore("archive").named_claim("tapes")
    case.decide()
    stalled = case.condition("Stalled")
    assert stalled is not None
    assert stalled.reason == "ClaimNotFound"
    assert stalled.message.startswith("There is no PersistentVolumeClaim tapes in namespace show.")
    case.claim().pod().store().decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("True/Configured", "")


def test_a_foreign_claim_is_not_taken_over() -> None:
    case = make_mediastore("default").claim()
    assert case.decide().children == ()
    assert case.word("Stalled") == "True/NameConflict"


def test_a_claim_that_an_earlier_mediastore_left_is_found_again() -> None:
    case = make_mediastore("default").own_claim()
    case.decide()
    assert case.word("Stalled") == ""


def test_a_named_claim_may_be_foreign_and_is_not_made() -> None:
    case = make_mediastore("archive").named_claim("tapes").claim()
    kinds = [c.manifest["kind"] for c in case.decide().children]
    assert kinds == ["Secret", "ConfigMap", "Service", "Deployment"]


def test_a_lost_volume_is_stalled() -> None:
    case = up().own_claim()
    case.facts["claim"]["status"]["phase"] = "Lost"
    case.decide()
    assert case.word("Stalled") == "True/ClaimLost"


def test_a_store_that_cannot_write_is_stalled_with_its_message() -> None:
    case = up().store(writable=False, reason="DiskFull", message="No space is left.")
    case.decide()
    assert case.word("Stalled") == "True/DiskFull"
    case.store().decide()
    assert case.word("Ready") == "True/Configured"


def test_a_store_that_has_not_tried_its_volume_yet_is_on_its_way() -> None:
    case = make_mediastore("default").own_claim()
    case.settled().store(writable=False).decide()
    assert (case.word("Ready"), case.word("Stalled")) == ("Unknown/Starting", "")


def test_usage_is_written_every_ten_seconds_at_most() -> None:
    case = up()
    case.later(3).store(used_bytes=6, available_bytes=GIB)
    held = case.decide()
    assert held.status["usedBytes"] == 5
    assert held.requeue_after_seconds == pytest.approx(7)
    case.later(7).store(used_bytes=7, available_bytes=GIB - 1)
    assert case.decide().status["usedBytes"] == 7
    assert case.status["availableBytes"] == GIB - (64 << 20)


def test_a_new_image_does_not_wait_because_nothing_is_on_air_here() -> None:
    case = up().settings(media_image="sluice-media:next")
    case.decide()
    assert case.child("Deployment")["spec"]["paused"] is False
