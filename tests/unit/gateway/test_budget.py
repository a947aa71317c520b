"""What all publishers of a gateway may keep together, and what goes first beyond that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sluice_media.publishing.budget import RetentionBudget
from sluice_media.publishing.leg_records import LegRecord
from sluice_media.publishing.retention import Retention

PICTURE_BYTES = 936
COST = 1_000
"""Of a picture, with what Python takes beside it."""
GOP = 5


class House:
    """Publishers under one budget, each of which sends a picture at each step of the clock."""

    def __init__(self, max_bytes: int, publishers: int) -> None:
        self.now = 0.0
        self.shed: list[bool] = []
        self.budget = RetentionBudget(max_bytes, self.shed.append)
        self.all = [
            Retention(60, 64 << 20, lambda: self.now, self.budget) for _ in range(publishers)
        ]
        self.number = 0

    def send(self, pictures: int) -> None:
        for _ in range(pictures):
            for retention in self.all:
                dts = self.number * 3_600
                retention.add(LegRecord(bytes(PICTURE_BYTES), dts, not self.number % GOP))
            self.number += 1
            self.now += 0.04

    def kept(self) -> list[int]:
        """Pictures kept of each publisher."""
        return [retention.size // PICTURE_BYTES for retention in self.all]


def test_within_the_budget_nothing_goes() -> None:
    house = House(100 * COST, 2)
    house.send(50)
    assert (house.kept(), house.shed) == ([50, 50], [])
    assert house.budget.size == 100 * COST


def test_beyond_it_the_oldest_groups_go_and_all_publishers_bear_it() -> None:
    house = House(200 * COST, 4)
    house.send(400)
    assert house.budget.size <= 200 * COST
    assert all(35 <= kept <= 50 for kept in house.kept()), house.kept()
    assert set(house.shed) == {True}  # no hub has said that nobody records
    for retention in house.all:
        assert retention.replay()
        assert retention.first_dts % (GOP * 3_600) == 0


def test_what_no_recorder_needs_goes_first() -> None:
    house = House(200 * COST, 4)
    for retention in house.all[1:]:
        retention.recorded = False
    house.send(150)
    recorded, *others = house.kept()
    assert recorded == 150
    assert all(0 < kept <= 20 for kept in others), others
    assert set(house.shed) == {False}


def test_when_only_recorders_need_it_the_oldest_goes_all_the_same() -> None:
    house = House(200 * COST, 2)
    house.all[0].recorded = False
    house.send(300)
    unrecorded, recorded = house.kept()
    assert 0 < unrecorded <= 2 * GOP
    assert recorded < 200
    assert house.budget.size <= 200 * COST
    assert True in house.shed


def test_a_budget_below_one_group_each_keeps_what_it_can_and_breaks_nobody() -> None:
    house = House(8 * COST, 6)
    house.send(23)
    assert house.budget.size <= 8 * COST
    house.all[0].recorded = False
    house.send(200)
    assert house.budget.size <= 8 * COST


def test_a_publisher_that_has_gone_gives_back_what_it_kept() -> None:
    house = House(1_000 * COST, 3)
    house.send(30)
    gone = house.all.pop()
    gone.close()
    assert house.budget.size == 60 * COST
    gone.add(LegRecord(b"late", 90_000, random_access=True))
    assert (gone.size, house.budget.size) == (0, 60 * COST)
    for retention in house.all:
        retention.acknowledge(20 * 3_600)
    assert house.budget.size == 2 * 10 * COST


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 12), st.booleans(), st.integers(0, 400)),
        max_size=40,
    )
)
def test_the_budgets_sum_is_what_its_publishers_keep(
    steps: list[tuple[int, int, bool, int]],
) -> None:
    house = House(60 * COST, 4)
    for who, pictures, recorded, acked in steps:
        house.all[who].recorded = recorded
        house.send(pictures)
        house.all[who].acknowledge(acked * 3_600)
        assert house.budget.size == COST * sum(house.kept())
        assert house.budget.size <= 60 * COST
    for retention in house.all:
        retention.close()
    assert house.budget.size == 0
