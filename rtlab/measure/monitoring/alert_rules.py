"""Alert rules: conditions that are worth waking somebody, and the lesson behind each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from rtlab.errors import LabError
from rtlab.measure.monitoring.alert_expression_parser import Expression
from rtlab.measure.monitoring.metrics_rates_and_history import MetricsHistory

__all__ = ["DEFAULT_ALERTS", "Alert", "AlertState", "Alerts"]

#: "no data" is not "quiet": without data nobody knows whether the condition holds.
AlertState = Literal["quiet", "pending", "firing", "no data"]


class Alert(msgspec.Struct, frozen=True):
    """One alert rule.

    Parameters
    ----------
    name : str
        A few words that identify the rule.
    when : str
        The condition, in the language of `Expression`.
    lesson : str
        Why the rule uses this metric and not a simpler one.
    hold : float
        Seconds that the condition must hold before the alert fires. With 0, a momentary spike wakes
        somebody.
    """

    name: str
    when: str
    lesson: str
    hold: float = 0.0


#: The times suit a lab run: in production, use minutes where these rules use seconds.
DEFAULT_ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        "node down",
        "up == 0",
        "A dead process tells nothing about itself: whoever asks it has to notice.",
        0.5,
    ),
    Alert(
        "slow turns",
        "p99(rtlab_turn_seconds) > 0.05",
        "A percentile of durations, not their mean: the mean of many quick ones hides the slow.",
    ),
    Alert(
        "budget burns",
        "burn(rtlab_turn_seconds, within=0.05, objective=0.99, over=2) > 5 and "
        "burn(rtlab_turn_seconds, within=0.05, objective=0.99, over=10) > 1",
        "Two windows: the short one ends the alert soon, the long one keeps a blink from starting it.",
    ),
    Alert(
        "connections broke",
        'rate(rtlab_disconnects_total, code="1006", over=3) > 2',
        "By close code: 1006 is the network's or a crash's, 1012 is a deploy of yours, 4000 a slow reader's.",
    ),
    Alert(
        "reconnect storm",
        "rate(rtlab_reconnects_total, over=3) > 2 + 0.2 * value(rtlab_sessions)",
        "Against the number of clients: five reconnects a second are nothing for a million, a storm for ten.",
    ),
    Alert(
        "cut off from the broker",
        "value(rtlab_broker_silence_seconds) > 1",
        "The process lives, its clients are connected, and nobody elsewhere hears them: no error shows it.",
    ),
    Alert(
        "queues grow",
        "rtlab_queued_messages > 20 and growth(rtlab_queued_messages, over=2) > 0",
        "Depth and its growth: a queue that is deep and falls is a recovery.",
    ),
    Alert(
        "clients do not answer",
        "increase(rtlab_heartbeats_missed_total, over=5) > 0",
        "TCP says nothing of a peer that has gone; an unanswered heartbeat does.",
    ),
    Alert(
        "messages dropped",
        'increase(rtlab_overflow_total, policy="drop_oldest") > 0'
        ' or increase(rtlab_overflow_total, policy="drop_newest") > 0'
        ' or increase(rtlab_overflow_total, policy="disconnect") > 0',
        "What a policy drops is an outage for its reader, however green the server is.",
    ),
    Alert(
        "saturated",
        "rate(process_cpu_seconds_total, over=3) > 0.8",
        "One loop has one core: at 0.8 of it a message waits four services long (M/M/1), at 0.95 nineteen.",
        1.0,
    ),
)


class Alerts:
    """Alert rules, and the state of each on every server.

    Parameters
    ----------
    rules : sequence of Alert
        Evaluated in this order.

    Raises
    ------
    BadExpression
        If the condition of a rule cannot be parsed.
    """

    def __init__(self, rules: Sequence[Alert] = DEFAULT_ALERTS) -> None:
        self.rules = tuple(rules)
        self._expressions = [Expression(rule.when) for rule in self.rules]
        self._since: dict[tuple[str, str], float] = {}
        self._states: dict[tuple[str, str], AlertState] = {}
        #: (alert, server) → monotonic seconds when it first fired, in that order.
        self.fired: dict[tuple[str, str], float] = {}

    def look(self, server: str, history: MetricsHistory, now: float) -> None:
        """Evaluate every rule after a scrape of one server.

        Parameters
        ----------
        server : str
            The server's name.
        history : MetricsHistory
            The server's scrapes up to now.
        now : float
            Monotonic seconds.
        """
        for rule, expression in zip(self.rules, self._expressions, strict=True):
            key = (rule.name, server)
            try:
                holds = expression.holds(history)
            except LabError:
                holds = None  # an older or foreign server, without this metric or histogram bucket
            if not holds:
                self._since.pop(key, None)
                self._states[key] = "no data" if holds is None else "quiet"
                continue
            since = self._since.setdefault(key, now)
            firing = now - since >= rule.hold
            self._states[key] = "firing" if firing else "pending"
            if firing:
                self.fired.setdefault(key, now)

    def state(self, name: str, server: str) -> AlertState:
        """Return the state of a rule on a server."""
        return self._states.get((name, server), "no data")

    @property
    def firing(self) -> list[tuple[str, str]]:
        """(alert, server) of every alert that fires now."""
        return [key for key, state in self._states.items() if state == "firing"]
