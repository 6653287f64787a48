from __future__ import annotations

from rtlab.measure.monitoring.alert_rules import DEFAULT_ALERTS, Alert, Alerts
from rtlab.measure.monitoring.metrics_rates_and_history import MetricsHistory
from tests.measure.monitoring.test_metrics_rates_and_history import page

DEEP = Alert("deep", "depth > 3", "…", hold=1.0)


def test_a_rule_fires_only_after_it_has_held() -> None:
    alerts, looks = Alerts([DEEP]), MetricsHistory()
    found = []
    for at, depth in ((0.0, 4), (0.9, 5), (1.0, 5), (1.1, 0), (1.2, 9)):
        looks.add(at, page(depth=depth))
        alerts.look("a", looks, at)
        found.append(alerts.state("deep", "a"))
    assert found == ["pending", "pending", "firing", "quiet", "pending"]
    assert alerts.fired == {("deep", "a"): 1.0}
    assert alerts.firing == []


def test_who_does_not_answer_is_down_and_nothing_else_is_known() -> None:
    alerts, looks = Alerts([DEEP, Alert("down", "up == 0", "…")]), MetricsHistory()
    looks.add(0.0, page(depth=9))
    looks.add(2.0, None)
    alerts.look("a", looks, 2.0)
    assert [alerts.state(name, "a") for name in ("deep", "down", "no such")] == [
        "no data",
        "firing",
        "no data",
    ]


def test_a_node_that_never_answered_is_down_too() -> None:
    alerts, looks = Alerts([Alert("down", "up == 0", "…")]), MetricsHistory()
    looks.add(0.0, None)
    alerts.look("a", looks, 0.0)
    assert alerts.firing == [("down", "a")]


def test_a_rule_of_another_server_knows_nothing() -> None:
    alerts, looks = Alerts(), MetricsHistory()
    looks.add(0.0, page())
    looks.add(1.0, page())
    alerts.look("a", looks, 1.0)
    states = {rule.name: alerts.state(rule.name, "a") for rule in DEFAULT_ALERTS}
    assert states.pop("node down") == "quiet"
    assert set(states.values()) == {"no data"}
