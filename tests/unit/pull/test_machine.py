"""The pull's state machine, with a clock of the test."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_media.pull.events import (
    Arrived,
    Command,
    Configured,
    DeliveryChanged,
    Ended,
    Event,
    Plan,
    Promote,
    Start,
    Stop,
)
from sluice_media.pull.failures import Outcome, PullFailure
from sluice_media.pull.machine import PullMachine

REFUSED = PullFailure(Outcome.REFUSED, "It refuses.")
THREE = Plan(("a", "b", "c"))


class World:
    """A machine, its clock, and the children that it has started."""

    def __init__(self, plan: Plan | None) -> None:
        self.machine = PullMachine()
        self.now = 1_000.0
        self.starts: list[tuple[float, int, bool]] = []
        self.alive: dict[int, int] = {}
        self.stops: list[PullFailure] = []
        self.promoted: list[int] = []
        self.do(Configured(plan))

    def do(self, event: Event) -> None:
        self._obey(self.machine.handle(event, self.now))

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Start(child, index, standby):
                    assert child not in self.alive
                    self.alive[child] = index
                    self.starts.append((self.now - 1_000.0, index, standby))
                case Stop(child, failure):
                    del self.alive[child]
                    self.stops.append(failure)
                case Promote(child):
                    self.promoted.append(self.alive[child])
        assert len(self.alive) <= 2

    def wait(self, seconds: float) -> None:
        """Let time pass, and tick the machine at each of its deadlines."""
        end = self.now + seconds
        while (due := self.machine.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self._obey(self.machine.tick(self.now))
            assert (after := self.machine.deadline()) is None or after > self.now or after != due
        self.now = end
        self._obey(self.machine.tick(self.now))

    def child(self, index: int) -> int:
        return next(child for child, at in self.alive.items() if at == index)

    def deliver(self, index: int, seconds: float = 0.0) -> None:
        """Make the child of this index deliver, with bytes four times a second."""
        child = self.child(index)
        self.do(Arrived(child))
        self.do(DeliveryChanged(child, delivers=True))
        self.feed(seconds, index)

    def feed(self, seconds: float, *indices: int) -> None:
        for _ in range(int(seconds * 4)):
            self.wait(0.25)
            for index in indices:
                if index not in self.alive.values():
                    continue
                self.do(Arrived(self.child(index)))

    def fail(self, index: int) -> None:
        child = self.child(index)
        del self.alive[child]
        self.do(Ended(child, REFUSED))

    @property
    def order(self) -> list[int]:
        return [index for _, index, _ in self.starts]


def test_the_next_source_is_tried_at_once_and_the_first_one_after_the_last() -> None:
    world = World(THREE)
    world.fail(0)
    world.fail(1)
    assert world.starts == [(0, 0, False), (0, 1, False), (0, 2, False)]
    world.deliver(2, seconds=12)
    world.fail(2)
    assert world.order == [0, 1, 2, 0]


def test_a_round_without_success_is_followed_by_delays_that_grow_to_ten_seconds() -> None:
    world = World(replace(THREE, sources=("a",)))
    for _ in range(5):
        world.fail(0)
        world.wait(10)
    times = [at for at, _, _ in world.starts]
    assert times == [0, 3, 16, 30, 40, 50]


def test_a_source_that_delivered_for_ten_seconds_resets_the_delay() -> None:
    world = World(replace(THREE, sources=("a", "b")))
    for _ in range(3):
        world.fail(0)
        world.fail(1)
        world.wait(10)
    world.deliver(0, seconds=11)
    began = world.now - 1_000
    world.fail(0)
    world.fail(1)
    assert world.order[-2:] == [1, 0]
    assert world.starts[-1][0] == began
    world.fail(0)
    world.wait(10)
    assert world.starts[-1][0] == began + 3


def test_a_source_that_ends_right_after_its_first_picture_is_not_dialled_in_a_tight_loop() -> None:
    world = World(replace(THREE, sources=("a",)))
    for _ in range(20):
        if world.alive:
            world.deliver(0)
            world.fail(0)
        world.wait(0.5)
    assert len(world.starts) <= 5


def test_a_source_that_sends_nothing_is_given_up_after_ten_seconds() -> None:
    world = World(THREE)
    world.wait(9.9)
    assert world.order == [0]
    world.wait(0.2)
    assert world.order == [0, 1]
    assert world.stops[0].outcome is Outcome.TIMEOUT


def test_bytes_without_a_keyframe_are_not_enough() -> None:
    world = World(THREE)
    world.feed(10, 0)
    assert world.order == [0, 1]
    assert world.stops[0].outcome is Outcome.NO_MEDIA


def test_a_source_that_stalls_is_given_up_after_stall_seconds() -> None:
    world = World(THREE)
    world.deliver(0, seconds=5)
    world.wait(2.9)
    assert world.alive[world.child(0)] == 0
    world.wait(0.2)
    assert world.promoted == [1]
    assert world.stops[0].outcome is Outcome.STALLED
    assert "3 s" in world.stops[0].message


def test_the_next_source_is_dialled_beside_one_that_may_have_stalled() -> None:
    world = World(THREE)
    world.deliver(0, seconds=5)
    world.wait(0.9)
    assert world.order == [0]
    world.wait(0.2)
    assert world.starts[-1][1:] == (1, True)
    world.deliver(1)
    assert world.promoted == [1]
    assert [stop.outcome for stop in world.stops] == [Outcome.STALLED]
    assert world.machine.view().index == 1
    assert world.machine.view().standby is None


def test_a_refusal_beside_a_suspect_is_followed_by_the_next_source() -> None:
    world = World(THREE)
    world.deliver(0, seconds=5)
    world.wait(1.1)
    world.fail(1)
    world.deliver(2)
    assert world.promoted == [2]


def test_a_suspect_that_sends_again_stays_on_air() -> None:
    world = World(THREE)
    world.deliver(0, seconds=5)
    world.wait(1.1)
    world.do(Arrived(world.child(0)))
    assert list(world.alive.values()) == [0]
    assert [stop.outcome for stop in world.stops] == [Outcome.STOPPED]
    assert world.machine.view().failure is None


def test_a_source_that_pauses_often_does_not_cause_a_dial_each_time() -> None:
    world = World(THREE)
    world.deliver(0)
    for _ in range(60):
        world.wait(1.5)
        world.do(Arrived(world.child(0)))
    assert list(world.alive.values()) == [0]
    assert world.order.count(1) <= 11


def test_pictures_that_stop_while_sound_goes_on_end_the_try_after_ten_seconds() -> None:
    world = World(THREE)
    world.deliver(0, seconds=20)
    world.do(DeliveryChanged(world.child(0), delivers=False))
    world.feed(9, 0)
    assert world.order == [0]
    world.feed(1, 0)
    assert world.order == [0, 1]


def test_late_events_of_a_stopped_child_change_nothing() -> None:
    world = World(THREE)
    gone = world.child(0)
    world.wait(10)
    for event in (Arrived(gone), DeliveryChanged(gone, delivers=True), Ended(gone, REFUSED)):
        world.do(event)
    assert world.order == [0, 1]


WARM = replace(THREE, warm=True)


def test_a_standby_is_connected_once_something_is_on_air() -> None:
    world = World(WARM)
    world.wait(1)
    assert len(world.alive) == 1
    world.deliver(0)
    assert world.starts[-1][1:] == (1, True)
    assert world.machine.view().standby == 1


def test_a_standby_that_fails_is_followed_by_the_next_source() -> None:
    world = World(WARM)
    world.deliver(0)
    world.fail(1)
    assert world.starts[-1][1:] == (2, True)
    world.fail(2)
    assert len(world.alive) == 1, "no tight loop over sources that refuse"
    world.feed(4, 0)
    assert world.starts[-1][1:] == (1, True)


def test_a_silent_source_is_replaced_by_its_standby_within_a_second() -> None:
    world = World(WARM)
    world.deliver(0)
    world.deliver(1)
    world.feed(5, 0, 1)
    world.do(Arrived(world.child(1)))
    world.wait(0.7)
    assert world.promoted == []
    world.do(Arrived(world.child(1)))
    world.wait(0.2)
    assert world.promoted == [1]
    assert world.machine.view().delivers
    assert world.starts[-1][1:] == (2, True)


def test_a_source_that_ends_is_replaced_by_its_standby_at_once() -> None:
    world = World(WARM)
    world.deliver(0)
    world.deliver(1)
    world.feed(1, 0, 1)
    world.fail(0)
    assert world.promoted == [1]


def test_after_inactivity_nothing_is_tried_until_the_generation_changes() -> None:
    plan = replace(THREE, inactivity_seconds=60, generation=1)
    world = World(plan)
    for _ in range(40):
        for index in list(world.alive.values()):
            world.fail(index)
        world.wait(2)
    tried = len(world.starts)
    assert world.machine.view().inactive
    assert not world.alive
    world.wait(3_600)
    world.do(Configured(plan))
    assert len(world.starts) == tried
    world.do(Configured(replace(plan, generation=2)))
    assert len(world.starts) == tried + 1
    assert not world.machine.view().inactive


def test_after_inactivity_a_requested_restart_tries_again() -> None:
    plan = replace(THREE, inactivity_seconds=5)
    world = World(plan)
    world.wait(5)
    assert world.machine.view().inactive
    world.do(Configured(replace(plan, given_up=True)))
    assert not world.alive
    world.do(Configured(replace(plan, restart="again")))
    assert world.alive
    assert not world.machine.view().inactive


def test_a_pull_that_an_earlier_process_gave_up_waits_for_a_request() -> None:
    plan = replace(THREE, inactivity_seconds=60, generation=4, given_up=True)
    world = World(plan)
    world.wait(3_600)
    assert world.machine.view().inactive
    assert not world.starts
    assert world.machine.deadline() is None
    world.do(Configured(replace(plan, generation=5, given_up=False)))
    assert world.alive
    world.wait(59)
    assert not world.machine.view().inactive


def test_a_late_report_of_giving_up_ends_the_tries_but_no_delivery() -> None:
    plan = replace(THREE, inactivity_seconds=60)
    trying, delivering = World(plan), World(plan)
    delivering.deliver(0)
    for world in (trying, delivering):
        world.do(Configured(replace(plan, given_up=True)))
    assert not trying.alive
    assert trying.machine.view().inactive
    assert delivering.alive
    assert not delivering.machine.view().inactive


def test_a_pull_that_delivers_is_never_inactive() -> None:
    world = World(replace(THREE, inactivity_seconds=5))
    world.deliver(0, seconds=30)
    assert not world.machine.view().inactive


def test_only_children_whose_source_changed_are_replaced() -> None:
    world = World(WARM)
    world.deliver(0)
    world.deliver(1)
    main, standby = world.child(0), world.child(1)
    world.do(Configured(replace(WARM, sources=("x", "a", "b"), generation=2)))
    assert world.alive == {main: 0, standby: 1}
    assert (world.machine.view().index, world.machine.view().standby) == (1, 2)
    world.do(Configured(replace(WARM, sources=("x", "a", "c"), generation=3)))
    assert main in world.alive
    assert standby not in world.alive
    world.do(Configured(replace(WARM, sources=("x", "y"), generation=4)))
    assert main not in world.alive
    assert world.machine.view().index is not None


def test_an_empty_plan_stops_everything() -> None:
    world = World(WARM)
    world.deliver(0)
    world.do(Configured(None))
    assert not world.alive
    assert world.machine.deadline() is None
    world.do(Configured(WARM))
    assert world.alive


_ACTIONS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0, 15)),
    st.tuples(st.sampled_from(["fail", "arrive", "deliver", "silence"]), st.integers(0, 1)),
    st.tuples(st.just("configure"), st.integers(0, 6)),
)
_PLANS = (
    THREE,
    WARM,
    replace(WARM, sources=("a",), generation=3),
    None,
    Plan(("c", "a", "a"), warm=True, inactivity_seconds=20, generation=5, retry_seconds=0),
    replace(THREE, inactivity_seconds=20, restart="again"),
    replace(WARM, given_up=True),
)


@settings(deadline=None)
@given(st.lists(_ACTIONS, max_size=60))
def test_any_events_leave_one_source_on_air_and_one_standby_at_most(
    actions: list[tuple[str, float]],
) -> None:
    world = World(WARM)
    for name, value in actions:
        children = list(world.alive)
        child = children[int(value) % len(children)] if children else -1
        match name:
            case "wait":
                world.wait(value)
            case "configure":
                world.do(Configured(_PLANS[int(value)]))
            case "fail" if child > 0:
                del world.alive[child]
                world.do(Ended(child, REFUSED))
            case "arrive":
                world.do(Arrived(child))
            case "deliver" | "silence":
                world.do(DeliveryChanged(child, delivers=name == "deliver"))
        view = world.machine.view()
        indices = [i for i in (view.index, view.standby) if i is not None]
        assert len(indices) == len(set(indices)) == len(world.alive)
    # Sources that refuse are not dialled in a tight loop. A deadline exists whenever tries may run.
    began, before = world.now, len(world.starts)
    while world.now < began + 30:
        for child in list(world.alive):
            del world.alive[child]
            world.do(Ended(child, REFUSED))
        world.wait(0.25)
    assert len(world.starts) - before <= 100
    if not world.machine.view().inactive and world.machine.deadline() is None:
        assert not world.alive
