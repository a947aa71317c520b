"""What strangers cause fills no log."""

from __future__ import annotations

from sluice_media.pod.log_limiter import LogLimiter


class Clock:
    now = 10.0

    def __call__(self) -> float:
        return self.now


def test_an_address_is_named_once_a_minute_with_the_count_of_what_was_left_out() -> None:
    clock = Clock()
    limiter = LogLimiter(clock)
    assert limiter.admit("a") == 0
    assert [limiter.admit("a") for _ in range(5)] == [None] * 5
    assert limiter.admit("b") == 5
    clock.now += 61
    assert limiter.admit("a") == 0


def test_many_addresses_together_get_twenty_lines_in_ten_seconds() -> None:
    clock = Clock()
    limiter = LogLimiter(clock)
    said = [limiter.admit(f"10.0.{n // 250}.{n % 250}") for n in range(10_000)]
    assert sum(s is not None for s in said) == 20
    clock.now += 10
    assert limiter.admit("new") == 9_980
    assert len(limiter._admitted_at) < 5_001
