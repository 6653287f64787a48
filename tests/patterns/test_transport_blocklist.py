"""What is remembered of a transport that did not work, and for how long."""

from __future__ import annotations

import pytest

from rtlab.patterns.transport_blocklist import Blocklist


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_long_life_clears_the_count(clock):
    blocklist = Blocklist(short_life=5.0, max_short_lives=2, clock=clock)
    for life in (2.0, 6.0, 2.0):
        blocklist.lived("here", "a", life)
    assert blocklist.blocked("here", "a") == ""
    blocklist.lived("here", "a", 2.0)
    assert "cuts it" in blocklist.blocked("here", "a")


def test_blocklist_forgets_on_request(clock):
    blocklist = Blocklist(clock=clock)
    blocklist.block("x", "a", "no")
    blocklist.block("y", "a", "no")
    blocklist.forget("x")
    assert (blocklist.blocked("x", "a"), blocklist.blocked("y", "a")) == ("", "no")
    blocklist.forget()
    assert blocklist.blocked("y", "a") == ""


def test_a_probe_in_the_background_is_due_where_only_a_wait_was_spared(clock):
    blocklist = Blocklist(reprobe_after=60.0, clock=clock)
    blocklist.block("here", "a", "no 101")
    assert blocklist.blocked("here", "a") == "no 101"
    assert not blocklist.resting("here", "a")


def test_what_a_server_asked_for_time_for_rests_until_then(clock):
    blocklist = Blocklist(reprobe_after=60.0, clock=clock)
    blocklist.block("here", "a", "503", 7.0)
    assert blocklist.resting("here", "a")
    clock.now = 7.0
    assert not blocklist.resting("here", "a")


def test_what_was_cut_too_often_rests(clock):
    blocklist = Blocklist(reprobe_after=60.0, max_short_lives=2, clock=clock)
    for _ in range(2):
        blocklist.lived("here", "a", 1.0)
    assert blocklist.resting("here", "a")
    clock.now = 60.0
    assert not blocklist.resting("here", "a")


def test_what_works_after_all_is_free_but_its_short_lives_count(clock):
    blocklist = Blocklist(max_short_lives=2, clock=clock)
    blocklist.block("here", "a", "no 101")
    blocklist.lived("here", "a", 1.0)
    blocklist.unblock("here", "a")
    assert blocklist.blocked("here", "a") == ""
    blocklist.lived("here", "a", 1.0)
    assert blocklist.blocked("here", "a") != ""
