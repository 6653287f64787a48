from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.mock.mock_script_steps import PeerScript, echo
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import ScriptedPeer


def test_a_refused_mock_is_let_go_at_once():
    """An hour of refusals would else be an hour of garbage, which only the collector finds."""

    async def refused(peer: ScriptedPeer) -> weakref.ref[MockWebSocket]:
        ws = MockWebSocket(peer)
        try:
            await ws.opened()
        except ConnectionRefusedError:
            return weakref.ref(ws)
        raise AssertionError("it opened")

    async def main() -> MockWebSocket | None:
        peer = ScriptedPeer(PeerScript().refuse())
        ref = await refused(peer)
        await asyncio.sleep(1)  # until the page's events are told
        return ref()

    gc.disable()
    try:
        assert FakeClock().run(main()) is None
    finally:
        gc.enable()


def test_whoever_waited_for_it_to_open_may_speak_as_a_page_does():
    async def talk():
        told = []
        async with MockWebSocket(PeerScript().answer(echo)) as ws:
            ws.add_event_listener("close", lambda event: told.append((event.code, event.was_clean)))
            ws.page_send("hello")  # not InvalidStateError: the library's face and the page's agree
            answer = await ws.recv()
            ws.page_close(4001, "bye")
            await ws.wait_closed()
            await asyncio.sleep(0)
        return answer, told, [(e.who, e.what, e.data) for e in ws.journal if e.what == "close"]

    answer, told, closes = FakeClock().run(talk())
    assert (answer, told) == ("hello", [(4001, True)])
    assert closes == [("client", "close", "4001 bye"), ("peer", "close", "4001 bye")]


def test_also_in_the_very_turn_in_which_the_server_agrees():
    async def talk():
        ws = MockWebSocket(PeerScript().answer(echo))
        while ws.state.name == "CONNECTING":  # asks in every turn, as no one should
            await asyncio.sleep(0)
        await ws.opened()
        ws.page_send("hello")
        return await ws.recv()

    assert FakeClock().run(talk()) == "hello"


def test_a_mock_without_a_loop_says_where_to_make_it():
    with pytest.raises(Exception, match="expected a running event loop, got none"):
        MockWebSocket()
