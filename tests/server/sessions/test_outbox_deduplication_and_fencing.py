"""Numbers of clients' outboxes: handled once, bounded memory, one incarnation at a time."""

from __future__ import annotations

import pytest

from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.sessions.outbox_deduplication_and_fencing import ProducerLimits, ProducerOpening, Producers


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opening(token="t", **fields):
    return ProducerOpening(**{"stream": "outbox", "history": "h", "token": token, **fields})


def registry(**limits):
    clock = Clock()
    return Producers(clock, ProducerLimits(**limits)), clock


def code_of(call, *args):
    with pytest.raises(Refused) as caught:
        call(*args)
    return caught.value


def test_a_repeat_has_the_first_result_and_a_gap_names_what_is_expected():
    producers, _ = registry()
    life = producers.open("ada", "ada", opening())
    producer = life.producer
    assert producer.check(life, 1, "a") is None
    producer.settle(1, "a", {"offset": 7}, 12)
    kept = producer.check(life, 1, "a")
    assert kept is not None
    assert kept.outcome == {"offset": 7}
    gap = code_of(producer.check, life, 3, "c")
    assert (gap.code, gap.details) == ("gap", {"expected": 2})
    assert code_of(producer.check, life, 1, "another").code == "seq_reused"


def test_results_are_bounded_in_count_and_bytes_and_the_number_is_known_all_the_same():
    producers, _ = registry(results=3, result_bytes=100)
    life = producers.open("ada", "ada", opening())
    for seq in range(1, 6):
        life.producer.settle(seq, str(seq), seq, 10)
    assert [life.producer.check(life, seq, None).outcome for seq in (2, 3)] == [None, 3]
    life.producer.settle(6, "6", 6, 95)
    assert [life.producer.check(life, seq, None).outcome for seq in (5, 6)] == [None, 6]


def test_a_newer_incarnation_ends_the_older_one_for_good():
    producers, _ = registry()
    old = producers.open("ada", "ada", opening("old"))
    old.producer.settle(1, "a", {}, 2)
    assert producers.open("ada", "ada", opening("old", incarnation=1)) is old
    new = producers.open("ada", "ada", opening("new", after=1))
    assert new.number == 2
    assert code_of(old.producer.check, old, 2, "b").code == "fenced"
    assert code_of(producers.open, "ada", "ada", opening("old", incarnation=1)).code == "fenced"
    assert new.producer.check(new, 1, "a") is not None  # the same history goes on


def test_after_a_restart_of_the_server_the_higher_number_wins():
    producers, _ = registry()
    producers.open("ada", "ada", opening("new", incarnation=5, base=9))
    assert code_of(producers.open, "ada", "ada", opening("old", incarnation=4)).code == "fenced"
    zombie_first, _ = registry()
    old = zombie_first.open("ada", "ada", opening("old", incarnation=4))
    assert zombie_first.open("ada", "ada", opening("new", incarnation=5, base=9)).producer.last_seq == 8
    assert old.fenced


def test_another_history_begins_anew():
    producers, _ = registry()
    life = producers.open("ada", "ada", opening())
    life.producer.settle(1, "a", {}, 2)
    life = producers.open("ada", "ada", opening("u", history="another"))
    assert life.producer.check(life, 1, "b") is None


def test_a_name_belongs_to_its_first_user_until_it_is_forgotten():
    producers, clock = registry(age=10)
    life = producers.open("ada", "ada", opening())
    assert code_of(producers.open, "ada", "eve", opening("e")).code == "wrong_user"
    clock.now = 9
    life.producer.check(life, 1, None)
    producers.expire()
    clock.now = 18
    producers.expire()
    assert len(producers) == 1  # heard since
    clock.now = 30
    producers.expire()
    assert len(producers) == 0
    producers.open("ada", "eve", opening("e"))


def test_clients_and_outboxes_are_bounded():
    producers, _ = registry(clients=2, streams=2)
    for name in ("a", "b", "c"):
        producers.open(name, name, opening())
    assert len(producers) == 2
    producers.open("c", "c", opening(stream="second"))
    assert code_of(producers.open, "c", "c", opening(stream="third")).code == "too_many_outboxes"
