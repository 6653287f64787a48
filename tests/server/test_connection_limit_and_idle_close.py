"""Connections are counted from the moment they are accepted, also before they are known to have begun."""

from __future__ import annotations

from typing import Any

from rtlab.server.connection_limit_and_idle_close import TcpConnections


class Handler:
    def __init__(self) -> None:
        self.closed = False

    def force_close(self) -> None:
        self.closed = True


def test_one_that_begins_late_is_not_forgotten_and_keeps_its_deadline() -> None:
    now, living = [0.0], list[Any]()
    sockets = TcpConnections(Handler, lambda: living, lambda: now[0], most=10)  # type: ignore[arg-type]
    late: Any = sockets()
    now[0] = 0.3
    sockets.drop_silent(10.0)  # the loop has not come to it yet
    living.append(late)
    now[0] = 10.5
    sockets.drop_silent(10.0)
    assert late.closed
    assert len(sockets) == 0


def test_the_oldest_idle_one_goes_and_who_is_one_too_many_is_told() -> None:
    now, living = [0.0], list[Any]()
    sockets = TcpConnections(Handler, lambda: living, lambda: now[0], most=2)  # type: ignore[arg-type]
    for _ in range(3):
        living.append(sockets())
        now[0] += 1
    assert [handler.closed for handler in living] == [True, False, False]
    assert [sockets.begin(handler) for handler in living[1:]] == [False, False]
    assert sockets.begin(sockets())
