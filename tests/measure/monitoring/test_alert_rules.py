from __future__ import annotations

from rtlab.measure.monitoring.alert_rules import DEFAULT_ALERTS, Alert, Alerts
from rtlab.measure.monitoring.metrics_rates_and_history import MetricsHistory
from rtlab.measure.monitoring.prometheus_text_parser import MetricsPage
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


def test_while_a_node_is_down_only_up_is_known_whatever_a_rule_begins_with() -> None:
    rules = {
        "uptime_seconds > 100": "no data",
        "0 == up": "firing",
        "1 - up > 0": "firing",
        "value(up) == 0": "no data",  # a function reads the last page
        "not depth < 3": "no data",
        "up == 0 or depth > 3": "firing",
        "up == 0 and depth > 3": "no data",
        "up == 1 or growth(depth) >= 0": "no data",
    }
    alerts, looks = Alerts([Alert(when, when, "…") for when in rules]), MetricsHistory()
    stale = MetricsPage.parse("depth 9\nuptime_seconds 500\nup 0\n")
    for at, answer in ((0.0, stale), (1.0, stale), (2.0, None)):
        looks.add(at, answer)
    alerts.look("a", looks, 2.0)
    assert {when: alerts.state(when, "a") for when in rules} == rules
