from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from websockets.exceptions import ConcurrencyError, ConnectionClosedError, NegotiationError

from rtlab.errors import RtlabError
from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.in_memory.unreliable_network import MessageFaults
from rtlab.testing.mock.mock_frames import PongFrame
from rtlab.testing.mock.mock_script_steps import PeerScript, echo
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import ScriptedPeer
from rtlab.testing.mock.transport_on_mock_websocket import mock_connection


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


def test_text_and_bytes_reach_the_peer_as_what_they_were_sent_as():
    async def main():
        async with MockWebSocket() as ws:
            for data, text in (("a", False), (b"b", True), (memoryview(b"c"), None), (["d", "e"], False)):
                await ws.send(data, text=text)
            with pytest.raises(UnicodeDecodeError):
                await ws.send(b"\xff", text=True)
            return ws.peer.received

    assert FakeClock().run(main()) == [b"a", "b", b"c", b"de"]


def test_a_message_that_cannot_be_decoded_fails_the_connection():
    async def main():
        async with MockWebSocket(PeerScript().send(b"\xff")) as ws:
            with pytest.raises(ConnectionClosedError, match="1007") as failed:
                await ws.recv(decode=True)
            return ws.peer.closed.code, ws.peer.closed.reason, failed.value.rcvd, ws.close_code

    assert FakeClock().run(main()) == (1007, "invalid start byte at position 0", None, 1006)


def test_pings_that_overlap_are_different_and_a_pong_answers_the_earlier_ones_too():
    async def main():
        async with MockWebSocket(ScriptedPeer(link=MessageFaults(delay=0.5))) as ws:
            waits = []
            for pause in (0.5, 0.7, 0):
                waits.append(await ws.ping())
                await asyncio.sleep(pause)
            trips = [await wait for wait in waits]
            ws.peer.vanish()  # reads no ping any more
            early, late = await ws.ping(), await ws.ping(b"late")
            with pytest.raises(ConcurrencyError):
                await ws.ping("late")
            ws._receive(PongFrame(b"unknown"))
            assert not early.done()
            ws._receive(PongFrame(b"late"))
            ws.abort()
            assert await early == await late == 0
            return trips

    assert FakeClock().run(main()) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(("offered", "says"), [((), "no subprotocols"), (("b", "c"), "unsupported .* a$")])
def test_a_subprotocol_that_was_not_offered_fails_the_connection(offered, says):
    async def main():
        seen, ws = [], MockWebSocket(PeerScript().accept("a"), protocols=offered)
        for name in ("open", "error", "close"):
            ws.add_event_listener(name, lambda event: seen.append((event.type, event.code)))
        with pytest.raises(NegotiationError, match=says):
            await ws.opened()
        await asyncio.sleep(1)
        return seen, ws.subprotocol, ws.peer.over

    assert FakeClock().run(main()) == ([("error", 0), ("close", 1006)], None, True)


def test_our_own_client_says_that_it_could_not_connect():
    async def main():
        await mock_connection(PeerScript().accept("a"), max_reconnect_attempts=0).connect()

    with pytest.raises(RtlabError, match="unsupported subprotocol: a"):
        FakeClock().run(main())


def test_text_is_one_subprotocol_as_in_a_page():
    async def main():
        async with MockWebSocket(PeerScript().accept("chat"), protocols="chat") as ws:
            return ws.subprotocol, ws.peer.request.protocols

    assert FakeClock().run(main()) == ("chat", ("chat",))
