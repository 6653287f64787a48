"""The record: bounded, numbered, the same for the same seed."""

from __future__ import annotations

from rtlab.faults.fault_trace import Trace, fingerprint


def test_the_oldest_fall_out() -> None:
    now = iter(range(100))
    trace = Trace(limit=3, clock=lambda: float(next(now)))
    for kind in "abcde":
        trace.add(kind, "p", connection=1)
    assert [(e.n, e.t, e.kind) for e in trace.since()] == [(2, 2.0, "c"), (3, 3.0, "d"), (4, 4.0, "e")]
    assert [e.kind for e in trace.since(4)] == ["e"]
    assert trace.since(5) == []
    assert [e.kind for e in trace.since(-7)] == ["c", "d", "e"]
    assert (trace.next, trace.dropped) == (5, 2)


def test_a_fingerprint_leaves_measurements_out() -> None:
    one, two = Trace(clock=lambda: 1.0), Trace(clock=lambda: 2.0)
    one.add("ended", "p", connection=3, bytes=10, detail="rst")
    two.add("ended", "p", connection=3, bytes=11, detail="rst")
    assert fingerprint(one.since()) == fingerprint(two.since())
