from __future__ import annotations

from rtlab.server.sinks.base import MAX_QUEUE_FACTOR, STALL_SECONDS, SlowReader


def make() -> tuple[SlowReader, list[float]]:
    now = [0.0]
    return SlowReader(100, lambda: now[0]), now


def test_up_to_the_limit_nobody_is_slow() -> None:
    reader, now = make()
    for _ in range(5):
        assert not reader.too_slow(100, 50)
        now[0] += STALL_SECONDS


def test_who_takes_nothing_is_slow_after_a_while() -> None:
    reader, now = make()
    assert not reader.too_slow(150, 10)
    now[0] = STALL_SECONDS
    assert not reader.too_slow(160, 10)
    now[0] += 0.1
    assert reader.too_slow(170, 10)


def test_who_takes_some_of_it_is_not() -> None:
    reader, now = make()
    queued = 150
    for _ in range(10):
        assert not reader.too_slow(queued, 20)
        now[0] += 0.9 * STALL_SECONDS
        queued += 20 - 1  # one byte was taken


def test_a_pause_below_the_limit_is_progress() -> None:
    reader, now = make()
    assert not reader.too_slow(150, 10)
    now[0] = 3 * STALL_SECONDS
    assert not reader.too_slow(50, 200)
    assert not reader.too_slow(250, 10)
    now[0] += STALL_SECONDS / 2
    assert not reader.too_slow(260, 10)


def test_memory_is_bounded_however_fast_it_reads() -> None:
    reader, _ = make()
    assert not reader.too_slow(100 * MAX_QUEUE_FACTOR, 1)
    assert reader.too_slow(100 * MAX_QUEUE_FACTOR + 1, 1)
