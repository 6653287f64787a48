from __future__ import annotations

from rtlab.server.latency_histogram_buckets import BOUNDS, Histogram


def test_each_class_holds_all_that_are_no_longer() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.00005, 0.00006, 0.04, 5.0, 60.0):
        histogram.add(seconds)
    found = dict(histogram.buckets())
    assert [found[bound] for bound in ("5e-05", "0.0001", "0.025", "0.05", "5", "+Inf")] == [2, 3, 3, 4, 5, 6]
    assert list(found) == [f"{bound:g}" for bound in BOUNDS] + ["+Inf"]
    assert histogram.total == sum((0.00005, 0.00006, 0.04, 5.0, 60.0))
