"""The work queue: every rule in its docstring, one test each."""

from __future__ import annotations

import asyncio

from sluice_operator.engine.queue import Key, Lane, WorkQueue
from tests.support.engine_fakes import FakeClock, settle

A, B, C = (Key("LiveStream", "ns", name) for name in "abc")


def make_queue() -> tuple[WorkQueue, FakeClock]:
    clock = FakeClock()
    return WorkQueue(clock, jitter=lambda: 0.0), clock


async def take(queue: WorkQueue) -> Key | None:
    """The next key, if there is one now."""
    getting = asyncio.ensure_future(queue.get())
    await settle()
    if getting.done():
        return getting.result()
    getting.cancel()
    return None


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue, _ = make_queue()
    queue.add(A)
    queue.add(A)
    assert await take(queue) == A
    queue.done(A)
    assert await take(queue) is None


async def test_keys_come_in_the_order_in_which_they_were_added() -> None:
    queue, _ = make_queue()
    for key in (B, A, C):
        queue.add(key)
    assert [await take(queue) for _ in range(3)] == [B, A, C]


async def test_a_key_is_never_worked_on_twice_at_a_time() -> None:
    queue, _ = make_queue()
    queue.add(A)
    assert await take(queue) == A
    queue.add(A)
    assert await take(queue) is None


async def test_a_key_that_changed_while_worked_on_is_handed_out_again() -> None:
    queue, _ = make_queue()
    queue.add(A)
    await take(queue)
    queue.add(A)
    queue.done(A)
    assert await take(queue) == A


async def test_changes_go_ahead_of_ticks() -> None:
    queue, _ = make_queue()
    queue.add(A, Lane.TICK)
    queue.add(B, Lane.TICK)
    queue.add(C)
    assert [await take(queue) for _ in range(3)] == [C, A, B]


async def test_a_change_lifts_a_waiting_tick_ahead() -> None:
    queue, _ = make_queue()
    queue.add(A, Lane.TICK)
    queue.add(B, Lane.TICK)
    queue.add(B)
    assert [await take(queue) for _ in range(3)] == [B, A, None]


async def test_deadlines_are_kept_however_much_is_changed() -> None:
    """A change for each key that was handed out: what was due never had its turn."""
    queue, clock = make_queue()
    for number in range(100):
        queue.add(Key("LiveStream", "ns", f"busy-{number}"))
    queue.add_after(A, 5)
    queue.retry(B)
    queue.add(C, Lane.TICK)
    await clock.advance(6)
    taken = []
    for _ in range(200):
        key = await take(queue)
        assert key is not None
        taken.append(key)
        queue.done(key)
        if key not in (A, B, C):
            queue.add(key)
    assert max(taken.index(A), taken.index(B)) < 8
    assert taken.index(C) < 16
    assert sum(key not in (A, B, C) for key in taken) == 197


async def test_a_deadline_keeps_its_turn_when_the_object_is_changed_as_well() -> None:
    queue, clock = make_queue()
    queue.add_after(A, 1)
    await clock.advance(1)
    for number in range(100):
        queue.add(Key("LiveStream", "ns", f"busy-{number}"))
    queue.add(A)
    assert A in [await take(queue) for _ in range(3)]
    assert len(queue) == 98
    rest = [await take(queue) for _ in range(99)]
    assert A not in rest, "handed out once"


async def test_a_wait_that_a_change_shares_is_a_changes() -> None:
    """The key failed a moment ago, and somebody changes its object: it is no mere retry."""
    queue, clock = make_queue()
    queue.retry(A)
    queue.add(A)
    queue.add(B, Lane.DUE)
    await clock.advance(2)
    assert await take(queue) == A


async def test_a_delayed_key_comes_when_it_is_due() -> None:
    queue, clock = make_queue()
    queue.add_after(A, 10)
    await clock.advance(9.9)
    assert await take(queue) is None
    await clock.advance(0.2)
    assert await take(queue) == A


async def test_the_earliest_of_two_delays_wins() -> None:
    queue, clock = make_queue()
    queue.add_after(A, 10)
    queue.add_after(A, 2)
    queue.add_after(A, 30)
    await clock.advance(2)
    assert await take(queue) == A
    queue.done(A)
    await clock.advance(60)
    assert await take(queue) is None


async def test_working_on_a_key_uses_its_timer_up() -> None:
    queue, clock = make_queue()
    queue.add_after(A, 10)
    queue.add(A)
    await take(queue)
    queue.done(A)
    await clock.advance(60)
    assert await take(queue) is None


async def test_failures_back_off_from_a_tenth_of_a_second_to_a_minute() -> None:
    queue, _ = make_queue()
    waits = [queue.retry(A) for _ in range(12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 60.0


async def test_jitter_only_ever_shortens_a_backoff() -> None:
    queue = WorkQueue(FakeClock(), jitter=lambda: 1.0)
    assert 0.07 < queue.retry(A) < 0.1


async def test_success_forgets_the_failures() -> None:
    queue, _ = make_queue()
    queue.retry(A)
    queue.retry(A)
    queue.succeeded(A)
    assert queue.retry(A) == 0.1


async def test_a_change_wakes_a_key_out_of_its_backoff() -> None:
    queue, clock = make_queue()
    for _ in range(12):
        queue.retry(A)
    queue.forget(A)
    for _ in range(12):
        queue.retry(A)
    await clock.advance(2)
    queue.add(A)
    assert await take(queue) == A


async def test_a_key_that_fails_and_changes_all_the_time_is_tried_once_a_second() -> None:
    queue, clock = make_queue()
    tries = 0
    for _ in range(12):
        queue.retry(A)
    for _ in range(100):
        queue.add(A)
        if await take(queue) is not None:
            tries += 1
            queue.retry(A)
            queue.done(A)
        await clock.advance(0.1)
    assert 8 <= tries <= 11


async def test_a_forgotten_key_does_not_come_back() -> None:
    queue, clock = make_queue()
    queue.add_after(A, 5)
    queue.forget(A)
    await clock.advance(60)
    assert await take(queue) is None


async def test_many_workers_share_the_keys() -> None:
    queue, _ = make_queue()
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await settle()
    for key in (A, B, C):
        queue.add(key)
    await settle()
    assert {w.result() for w in waiting} == {A, B, C}
