"""The playback's part of a LiveStream's decision."""

from __future__ import annotations

from dataclasses import dataclass, field

from sluice_operator.domain.decision import Child, Deletion, PodAnnotations, PodConfigHash
from sluice_operator.domain.livestream.facts import LiveStreamFacts
from sluice_operator.domain.livestream.playback.children import (
    plan_play,
    play_children,
    play_config_hashes,
    play_deletions,
    play_protection,
)
from sluice_operator.domain.livestream.playback.facts import PlaybackFacts
from sluice_operator.domain.livestream.playback.status import PlaybackView, playback_view
from sluice_operator.domain.protection import BUDGET
from sluice_operator.domain.readiness import Readiness, conflict_readiness
from sluice_operator.domain.rollout import Rollout


@dataclass(slots=True, frozen=True)
class PlaybackDecision:
    """The desired state of the playback. Everything is empty without playback."""

    view: PlaybackView | None = None
    rollout: Rollout = field(default_factory=Rollout)
    conflict: Readiness | None = None
    """The readiness when a foreign object keeps the stream from being played."""
    children: tuple[Child, ...] = ()
    config_hashes: tuple[PodConfigHash, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    annotations: tuple[PodAnnotations, ...] = ()


def decide_playback(facts: LiveStreamFacts, blocked: Readiness | None) -> PlaybackDecision:
    """Return the decision. ``blocked`` is set when the stream cannot have any children."""
    play = PlaybackFacts.of(facts)
    deletions = play_deletions(facts, play)
    if play is None:
        return PlaybackDecision(deletions=deletions)
    plan = plan_play(play)
    # A foreign budget is no conflict: without its own budget, playback is only less protected.
    conflicts = tuple(c for c in play.conflicts if c.kind != BUDGET[1])
    conflict = conflict_readiness(play.owner, conflicts)
    makes_children = blocked is None and conflict is None
    return PlaybackDecision(
        view=playback_view(play, blocked or conflict),
        rollout=plan.rollout,
        conflict=conflict,
        children=play_children(play, plan) if makes_children else (),
        config_hashes=play_config_hashes(play, plan) if makes_children else (),
        deletions=deletions,
        annotations=play_protection(play),
    )
