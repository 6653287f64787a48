import math

from rtlab.server.brokers.cluster.cluster_membership import Membership, Timings

TIMINGS = Timings(beat=1.0, lease=3.0, dead=4.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_stopped_node_loses_its_lease_before_the_others_bury_it() -> None:
    clock = Clock()
    stopped, other = Membership("a", clock, TIMINGS), Membership("b", clock, TIMINGS)
    stopped.ready = True
    stopped.echoed(clock.now)
    other.echoed(clock.now)
    other.heard("a", "first")
    leads = alive = True
    while alive:
        clock.now += 0.25
        other.echoed(clock.now)
        leads = stopped.leads
        alive = other.expire() == []
    assert not leads
    assert clock.now - 100.0 <= TIMINGS.dead + 0.25


def test_a_node_that_is_cut_off_buries_nobody_and_starts_counting_anew() -> None:
    clock = Clock()
    members = Membership("a", clock, TIMINGS)
    members.echoed(clock.now)
    members.heard("b", "first")
    clock.now += 60.0
    assert not members.connected
    assert members.expire() == []
    assert members.echoed(clock.now), "it is back"
    assert members.expire() == []
    clock.now += 2.0
    assert not members.echoed(clock.now)
    clock.now += 2.5
    assert members.expire() == ["b"]


def test_the_echo_of_an_old_beat_renews_nothing() -> None:
    clock = Clock()
    members = Membership("a", clock, TIMINGS)
    clock.now += 10.0
    assert not members.echoed(100.0)
    assert not members.connected


def test_a_process_that_was_started_anew_is_another_one() -> None:
    members = Membership("a", Clock(), TIMINGS)
    assert members.heard("b", "first")
    assert not members.heard("b", "first")
    assert members.heard("b", "second")
    assert not members.gone("b", "first"), "a late goodbye of the former one"
    assert members.gone("b", "second")
    assert members.living == ["a"]


def test_a_death_is_due_when_the_oldest_beat_is_too_old_and_not_before() -> None:
    clock = Clock()
    members = Membership("a", clock, TIMINGS)
    members.echoed(clock.now)
    assert members.next_death == math.inf, "nobody else is there"
    for node in ("b", "c"):
        members.heard(node, "first")
        clock.now += 0.5
    members.echoed(clock.now)
    assert members.next_death == 100.0 + TIMINGS.dead
    clock.now = members.next_death - 0.01
    members.echoed(clock.now)
    assert members.expire() == []
    clock.now += 0.01
    assert members.expire() == ["b"]
    assert members.next_death == 100.5 + TIMINGS.dead
    clock.now += TIMINGS.lease
    assert members.next_death == math.inf, "who is cut off buries nobody"
