"""The table of verdicts: its answers, the lookups that it starts, and how long it waits."""

from __future__ import annotations

import threading
import time

from pydantic import SecretStr

from sluice_media.protocols.srt.admission import AdmissionTable, Admit, Refuse
from sluice_media.protocols.srt.reject import RejectCode
from sluice_media.protocols.srt.streamid import PublishRequest

REQUEST = PublishRequest("demo", "talk", SecretStr("key"))
OTHER = PublishRequest("demo", "talk", SecretStr("another"))
ADMIT = Admit("demo/talk/primary", SecretStr("correct horse"))


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def never() -> None:
    raise AssertionError("a lookup of a known publisher")


def test_an_unknown_stream_is_looked_up_once_and_may_be_tried_again() -> None:
    started: list[int] = []
    table = AdmissionTable(wait_seconds=0, clock=Clock())
    for _ in range(3):
        verdict = table.ask(REQUEST, lambda: started.append(1))
        assert verdict == Refuse(RejectCode.UNAVAILABLE)
    assert started == [1]
    table.answer(REQUEST, ADMIT)
    assert table.ask(REQUEST, never) is ADMIT


def test_a_lookup_that_is_quick_answers_the_same_handshake() -> None:
    table = AdmissionTable(wait_seconds=2, clock=time.monotonic)
    threading.Timer(0.02, table.answer, (REQUEST, ADMIT)).start()
    started = time.monotonic()
    assert table.ask(REQUEST, lambda: None) is ADMIT
    assert time.monotonic() - started < 1


def test_a_wrong_key_is_another_request() -> None:
    table = AdmissionTable(wait_seconds=0, clock=Clock())
    table.answer(REQUEST, ADMIT)
    assert table.ask(OTHER, lambda: None) == Refuse(RejectCode.UNAVAILABLE)


def test_verdicts_end() -> None:
    clock = Clock()
    table = AdmissionTable(wait_seconds=0, clock=clock)
    table.answer(REQUEST, ADMIT)
    clock.now += 31
    started: list[int] = []
    assert table.ask(REQUEST, lambda: started.append(1)) == Refuse(RejectCode.UNAVAILABLE)
    assert started
    table.answer(REQUEST, Refuse(RejectCode.UNAUTHORIZED))
    assert table.ask(REQUEST, never) == Refuse(RejectCode.UNAUTHORIZED)
    clock.now += 2
    table.forget_expired()
    assert not table._verdicts


def test_all_waits_together_take_a_fifth_of_the_time_at_most() -> None:
    table = AdmissionTable(wait_seconds=0.05, clock=time.monotonic)
    started = time.monotonic()
    for number in range(60):
        table.ask(PublishRequest("demo", f"s{number}", SecretStr("key")), lambda: None)
    assert 0.1 <= time.monotonic() - started < 1.5, "60 waits of 0.05 s take 3 s"


def test_publishers_that_start_together_all_get_their_answer() -> None:
    table = AdmissionTable(wait_seconds=0.08, clock=time.monotonic)
    for number in range(10):
        request = PublishRequest("demo", f"s{number}", SecretStr("key"))
        timer = threading.Timer(0.005, table.answer, (request, ADMIT))
        assert table.ask(request, timer.start) is ADMIT


def test_lookups_and_entries_are_limited() -> None:
    clock = Clock()
    table = AdmissionTable(wait_seconds=0, clock=clock)
    requests = [PublishRequest("demo", "talk", SecretStr(f"k{n}")) for n in range(10_100)]
    verdicts = [table.ask(request, lambda: None) for request in requests[:70]]
    assert verdicts.count(Refuse(RejectCode.OVERLOAD)) == 6
    for request in requests:
        table.answer(request, ADMIT)
    assert len(table._verdicts) == 10_000
    assert not table._lookups


def test_neither_the_table_nor_a_verdict_shows_keys() -> None:
    table = AdmissionTable(wait_seconds=0, clock=Clock())
    table.answer(PublishRequest("demo", "talk", SecretStr("canary-key")), ADMIT)
    shown = repr(vars(table)) + repr(ADMIT)
    assert "canary-key" not in shown
    assert "correct horse" not in shown


def test_a_stale_grant_is_looked_up_again_and_counts_until_the_answer_comes() -> None:
    clock = Clock()
    table = AdmissionTable(wait_seconds=0, clock=clock)
    grant = Admit("demo/talk/primary", fresh_seconds=1)
    table.answer(REQUEST, grant)
    clock.now += 0.5
    assert table.ask(REQUEST, never) is grant
    clock.now += 1
    started: list[int] = []
    assert table.ask(REQUEST, lambda: started.append(1)) is grant
    assert started
    table.answer(REQUEST, Refuse(RejectCode.CONFLICT))
    assert table.ask(REQUEST, never) == Refuse(RejectCode.CONFLICT)
