"""The benchmark of the checks measures what it says, on a small scale."""

from __future__ import annotations

from typing import Any

import pytest

from rtlab.bench.suites import security
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import RtlabError
from rtlab.lab.lab import Lab
from rtlab.protocol.message_format import Message


async def test_a_check_an_attack_and_a_refresh_are_measured_against_their_absence() -> None:
    (frames,) = await security.run(Lab.start, tiny=True, only="frames")
    assert (frames.unit, frames.peer, frames.at_least) == ("msg/CPU s", "without", 0.9)
    assert frames.value > 0
    (loris,) = await security.run(Lab.start, tiny=True, only="loris")
    assert (loris.peer, loris.at_most) == ("none", 1.2)
    lost, shown = await security.run(Lab.start, tiny=True, only="refresh")
    assert (lost.value, lost.holds) == (0, True)
    assert shown.at_most == 1.1
    with pytest.raises(RtlabError, match="expected a row out of validation"):
        await security.run(Lab.start, only="nothing")


async def test_a_message_that_never_arrives_is_the_row_and_not_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Deaf(WebSocketConnection):
        """Never hears the fourth message of a feed."""

        def on(self, type: str, handler: Any) -> Any:  # type: ignore[override]
            def heard(message: Message) -> None:
                if message.payload["n"] != 3:
                    handler(message)

            return super().on(type, heard)

    monkeypatch.setattr(security, "WebSocketConnection", Deaf)
    monkeypatch.setattr(security, "ARRIVAL", 3.0)
    monkeypatch.setattr(security, "FEED_RATE", 20)
    lost, _ = await security.run(Lab.start, tiny=True, only="refresh")
    assert (lost.value, lost.holds) == (1, False)
