"""Who is told of the wire, and that no watcher can harm a connection."""

from __future__ import annotations

import logging

import pytest

from rtlab.client.wire_watch import WireWatch


def test_a_listener_that_raises_harms_no_connection(caplog: pytest.LogCaptureFixture) -> None:
    wire = WireWatch()
    heard: list[str] = []

    def broken(who: str, what: str, data: object) -> None:
        raise RuntimeError("mine")

    wire.add(broken)
    wire.add(lambda who, what, data: heard.append(what))
    with caplog.at_level(logging.WARNING, "rtlab"):
        wire.tell("client", "state", "Closed")
    assert heard == ["state"]
    assert "RuntimeError('mine')" in caplog.text
    wire.remove(broken)
    wire.remove(broken)
    assert len(wire.watchers) == 1
