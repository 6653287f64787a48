"""A wrong option is refused when the connection is made, with what would have been right."""

from __future__ import annotations

from typing import Any

import pytest

from rtlab import LongPolling, ServerSentEvents, WebRTCChannel, WebSocketConnection
from rtlab.client.breaker_shared_per_origin import CircuitBreaker
from rtlab.policies.backoff import FullJitter, Linear
from rtlab.policies.circuit_breaker import Breaker
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping, Sweep, Watchdog

KINDS = [WebSocketConnection, ServerSentEvents, LongPolling, WebRTCChannel]
URL = "http://127.0.0.1:9"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("option", "value", "example"),
    [
        ("heartbeat", 5, r"like Ping\(20, 10\), got 5"),
        ("heartbeat", Ping, r"like Ping\(20, 10\), got <class"),
        ("backoff", 3, r"like FullJitter\(0\.5, 30\), got 3"),
        ("backoff", lambda attempt: 1, "like FullJitter"),
        ("breaker", Breaker(), r"like CircuitBreaker\(\), got Breaker"),
    ],
)
def test_what_is_no_policy_is_refused_at_once(kind: Any, option: str, value: object, example: str) -> None:
    with pytest.raises(TypeError, match=f"expected {option} to be an object {example}"):
        kind(URL, **{option: value})


@pytest.mark.parametrize("kind", [WebSocketConnection, WebRTCChannel])
def test_what_is_no_codec_is_refused_at_once(kind: Any) -> None:
    with pytest.raises(TypeError, match=r"expected codec .*_codecs\.JSON, got 'j"):
        kind(URL, codec="json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heartbeat", [None, Ping(1, 1), Watchdog(1, 1), Sweep(1)])
@pytest.mark.parametrize("backoff", [None, FullJitter(0.5, 30.0), Linear(1.0)])
def test_every_policy_is_accepted(kind: Any, heartbeat: object, backoff: object) -> None:
    kind(URL, heartbeat=heartbeat, backoff=backoff, breaker=CircuitBreaker())


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_must_be_finite_and_above_nothing(seconds: float) -> None:
    for name in ("connect_timeout", "close_timeout", "request_timeout"):
        with pytest.raises(ValueError, match=f"expected {name} > 0 in finite seconds"):
            WebSocketConnection(URL, **{name: seconds})


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_the_longest_hint_that_is_obeyed_must_be_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="expected max_retry_after >= 0"):
        WebSocketConnection(URL, max_retry_after=seconds)
