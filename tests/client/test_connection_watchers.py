"""Who is told of the wire, and that no watcher can harm a connection."""

from __future__ import annotations

import logging

import pytest

from rtlab.client.connection_watchers import WireWatch


def test_a_watcher_that_an_earlier_one_removed_is_not_called() -> None:
    wire, heard = WireWatch(), []

    def second(who: str, what: str, data: object) -> None:
        heard.append("second")

    wire.add(lambda who, what, data: wire.remove(second))
    wire.add(second)
    wire.add(lambda who, what, data: heard.append("third"))
    wire.tell("client", "state", "Closed")
    assert heard == ["third"]


def test_a_watcher_that_nobody_would_await_is_refused() -> None:
    async def later(who: str, what: str, data: object) -> None: ...

    with pytest.raises(TypeError, match="a watcher is called and not awaited"):
        WireWatch().add(later)


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
