"""The board over a real node: what is sent to the browser, which alert fires, and how Stop ends it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtlab import Lab, MetricsBoard
from rtlab.measure.monitoring.alert_expression_parser import BadExpression
from rtlab.measure.monitoring.alert_rules import Alert
from rtlab.widgets.panels.metrics_board import READINGS

RULE = Alert("someone is here", 'value(rtlab_sessions, state="connected") > 0', "…")


def heard(board: MetricsBoard) -> list[dict[str, Any]]:
    """Collect what the board sends, and acknowledge it as a browser does."""
    messages: list[dict[str, Any]] = []

    def send(content: dict[str, Any], buffers: object = None) -> None:
        messages.append(content)
        board._receive({"kind": "ack", "seq": content["seq"]})

    board.send = send  # type: ignore[method-assign]
    return messages


async def test_numbers_an_alert_and_stop() -> None:
    from rtlab import WebSocketConnection

    async with Lab() as lab:
        board = MetricsBoard(lab.urls, lab.token, interval=0.05, alerts=[RULE])
        messages = heard(board)
        async with board, asyncio.timeout(60):
            assert not await board.wait_for("someone is here", patience=0.2)
            async with WebSocketConnection(lab.ws_url):
                assert await board.wait_for("someone is here", "node-1", patience=30)
            assert "firing: someone is here (node-1)" in [m["summary"].partition("; ")[2] for m in messages]
            board._from_any_thread(board, {"kind": "stop"}, ())
            assert await board.wait(30)
        assert board.state == "stopped"
    last = messages[-1]
    assert set(last["nodes"][0]["series"]) == set(READINGS)
    assert max(value or 0 for value in last["nodes"][0]["series"]["clients"]) == 1
    assert board.alerts.fired
    assert last["fired"] == [["node-1"]], "a row says where its rule has fired, also when it is quiet again"
    ages = last["nodes"][0]["ages"]
    assert len(ages) == len(last["nodes"][0]["series"]["clients"])
    assert ages == sorted(ages, reverse=True)
    assert ages[-1] == 0
    assert repr(board) == "MetricsBoard(1 node, 1 rules)"


async def test_nobody_who_draws_gets_no_more_than_three() -> None:
    board = MetricsBoard(["http://127.0.0.1:9"], "t", interval=0.01)
    sent: list[Any] = []
    board.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    for _ in range(10):
        board._looked()
    assert len(sent) == 3
    board._receive({"kind": "hello"})
    assert sent[-1]["summary"] == "0 of 1 nodes answer; no alert"
    for rubbish in ({}, {"kind": "ack", "seq": "x"}, {"kind": "stop"}, {"kind": 7}):
        board._receive(rubbish)
    assert not board.stopped.is_set()


def test_a_rule_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(BadExpression):
        MetricsBoard(["http://127.0.0.1:9"], "t", alerts=[Alert("bad", "import os", "…")])


async def test_an_alert_that_is_over_is_told_and_points_stand_where_looks_were() -> None:
    board = MetricsBoard(["http://127.0.0.1:9"], "t", alerts=[RULE], drawn="clients")
    sent: list[Any] = []
    board.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    board.alerts.fired["someone is here", "node-1"] = 1.0
    for at in (10.0, 10.5, 13.0):
        board.watch.histories["node-1"].add(at, None)
        board._looked()
    assert sent[-1]["nodes"][0]["ages"] == [3.0, 2.5, 0.0]
    assert sent[-1]["nodes"][0]["series"]["clients"] == [None] * 3
    assert sent[-1]["summary"] == "0 of 1 nodes answer; fired before: someone is here (node-1)"
    assert board.drawn == "clients"


async def test_a_rule_or_node_that_the_board_has_not_is_refused_at_once() -> None:
    board = MetricsBoard(["http://127.0.0.1:9"], "t", alerts=[RULE])
    with pytest.raises(ValueError, match="no rule 'mistyped': the board has someone is here"):
        await board.wait_for("mistyped", patience=0)
    with pytest.raises(ValueError, match="no node 'node-9': the board has node-1"):
        await board.wait_for("someone is here", "node-9", patience=0)
