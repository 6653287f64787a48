from __future__ import annotations

import asyncio

import pytest
from websockets.exceptions import ConcurrencyError, ProtocolError

from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.mock.mock_script_steps import PeerScript, ScriptError
from rtlab.testing.mock.mock_websocket import MockWebSocket


def test_two_readers_at_once_are_refused_and_a_cancelled_one_leaves_room():
    async def main():
        async with MockWebSocket() as ws:
            first = asyncio.create_task(ws.peer.recv())
            await asyncio.sleep(0)
            with pytest.raises(ConcurrencyError, match="already running recv"):
                await ws.peer.recv()
            await ws.send("a")
            got = [await first]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await ws.peer.recv()
            await ws.send("b")
            return [*got, await ws.peer.recv()]

    assert FakeClock().run(main()) == ["a", "b"]


@pytest.mark.parametrize(
    "early", [lambda peer: peer.send("x"), lambda peer: peer.close(), lambda peer: peer.ping()]
)
def test_no_frame_is_sent_before_the_handshake_is_answered(early):
    async def main():
        ws = MockWebSocket(PeerScript().slow_open(1))
        with pytest.raises(ScriptError, match=r"the handshake is not answered yet, so `await ws.opened\(\)`"):
            early(ws.peer)
        async with ws:
            early(ws.peer)

    FakeClock().run(main())


def test_what_no_frame_can_carry_is_refused_by_hand_too():
    async def main():
        async with MockWebSocket() as ws:
            for code, reason in ((1006, ""), (1005, ""), (1000, "x" * 124)):
                with pytest.raises(ScriptError, match="close: expected a"):
                    ws.peer.close(code, reason)
            with pytest.raises(ProtocolError):
                ws.peer.ping(b"x" * 126)
            return ws.state.name

    assert FakeClock().run(main()) == "OPEN"
