from __future__ import annotations

import asyncio

import pytest
import websockets

from rtlab.faults.script import FaultScript
from rtlab.testing.expectation import expect
from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.in_memory.memory_proxy import MemoryProxy
from rtlab.testing.in_memory.unreliable_network import MessageFaults
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.peer_script import PeerScript, ScriptError, echo
from rtlab.testing.mock.scripted_peer import ScriptedPeer, ScriptFailed

NUMBERS = [str(n) for n in range(200)]


def arrivals(faults: MessageFaults) -> list[str]:
    async def main():
        script = PeerScript().send(*NUMBERS).pause(9).close()
        async with MockWebSocket(ScriptedPeer(script, link=faults)) as ws:
            return [data async for data in ws]

    return FakeClock().run(main())


def test_faults_follow_from_the_seed():
    bad = {"delay": (0, 0.2), "lose": 0.1, "repeat": 0.1, "reorder": 0.1}
    first, again, other = (MessageFaults(seed, **bad) for seed in (7, 7, 8))
    got = arrivals(first)
    assert arrivals(again) == got != arrivals(other)
    assert first.counts == again.counts
    assert len(got) == 200 - first.counts["lost"] + first.counts["repeated"]
    assert min(first.counts[name] for name in ("lost", "repeated", "reordered")) > 5


def test_delays_alone_keep_the_order():
    assert arrivals(MessageFaults(3, delay=(0, 1))) == NUMBERS


def test_a_refusal_by_chance_is_a_port_where_nobody_listens():
    async def main():
        async with MockWebSocket(ScriptedPeer(link=MessageFaults(refuse=1))):
            pass

    with pytest.raises(ConnectionRefusedError):
        FakeClock().run(main())


@pytest.mark.parametrize("wrong", [{"lose": -0.1}, {"repeat": 1.1}, {"delay": -1}, {"delay": (2, 1)}])
def test_impossible_faults_are_refused(wrong: dict):
    with pytest.raises(ScriptError, match="expected"):
        MessageFaults(**wrong)


def through(proxy: MemoryProxy, script: PeerScript, *, until: float = 5.0) -> tuple:
    """Say three words through a proxy; return what came back, the close code, and when it ended."""

    async def main():
        got, clock = [], asyncio.get_running_loop().time
        async with MockWebSocket(ScriptedPeer(script, link=proxy), close_timeout=1) as ws:
            try:
                for word in ("one", "two", "three"):
                    await ws.send(word)
                async with asyncio.timeout(until):
                    while True:
                        got.append(await ws.recv())
            except (websockets.ConnectionClosed, TimeoutError) as error:
                got.append(type(error).__name__)
            return got, ws.close_code, round(clock(), 2)

    return FakeClock().run(main())


def with_toxic(toxic: str, **attributes) -> MemoryProxy:
    proxy = MemoryProxy(seed=5)
    proxy.add(toxic, **attributes)
    return proxy


@pytest.mark.parametrize(
    ("proxy", "outcome"),
    [
        (lambda: MemoryProxy(), (["one", "two", "three", "TimeoutError"], None, 5.0)),
        (lambda: with_toxic("latency", latency=500), (["one", "two", "three", "TimeoutError"], None, 5.5)),
        (lambda: with_toxic("drop_message", nth=2), (["one", "three", "TimeoutError"], None, 5.0)),
        (lambda: with_toxic("kill_midframe", nth=2), (["one", "ConnectionClosedError"], 1006, 0.0)),
        (lambda: with_toxic("slicer", average_size=1), (["one", "two", "three", "TimeoutError"], None, 5.0)),
    ],
)
def test_the_real_proxys_toxics_work_in_memory(proxy, outcome):
    got = through(proxy(), PeerScript().answer(echo))
    assert (got[0], got[1]) == outcome[:2]
    assert got[2] == pytest.approx(outcome[2], abs=0.02)


def test_damaged_bytes_end_the_connection():
    got, code, _ = through(with_toxic("corrupt", probability=1, skip=59), PeerScript().answer(echo))
    assert (got[-1], code) == ("ConnectionClosedError", 1006)


def test_a_fault_script_plays_on_the_fake_clock():
    proxy = MemoryProxy()

    async def main():
        async with MockWebSocket(ScriptedPeer(PeerScript().answer(echo), link=proxy)) as ws:
            await proxy.play(FaultScript(seed=1).cut(30.0))
            await ws.wait_closed()
            return ws.close_code, asyncio.get_running_loop().time()

    assert FakeClock().run(main()) == (1006, pytest.approx(30.0, abs=0.01))
    assert [event.kind for event in proxy.trace.since() if event.kind in ("opened", "ended")] == [
        "opened",
        "ended",
    ]


def test_a_failed_expectation_draws_what_did_happen():
    async def main():
        script = PeerScript().expect({"type": "hi"}).send({"type": "welcome"}).stay_silent()
        async with MockWebSocket(ScriptedPeer(script)) as ws:
            await ws.send('{"type":"hi"}')
            await expect(ws).to_receive({"type": "welcome"})
            await expect(ws).to_receive({"type": "news"}, within=3)

    with pytest.raises(AssertionError) as failed:
        FakeClock().run(main())
    text = str(failed.value)
    assert text.startswith("expected {'type': 'news'}, got nothing within 3 s\nWhat did happen:")
    assert '|---- {"type":"hi"} ' in text
    assert '|<--- {"type":"welcome"} ' in text


@pytest.mark.parametrize(
    ("script", "wanted", "says"),
    [
        (PeerScript().send("a"), lambda ws: expect(ws).to_receive("b"), "expected b, got a"),
        (
            PeerScript().close(1012),
            lambda ws: expect(ws).to_receive(...),
            "anything, got received 1012",
        ),
        (
            PeerScript().close(1012),
            lambda ws: expect(ws).to_close(1000),
            "with 1000, got 1012",
        ),
        (PeerScript(), lambda ws: expect(ws).to_close(within=2), "expected the end within 2 s, it is OPEN"),
        (PeerScript(), lambda ws: expect(ws.peer).to_receive("x"), "expected x, got nothing within 1 s"),
    ],
)
def test_each_failure_says_what_came_instead(script: PeerScript, wanted, says: str):
    async def main():
        async with MockWebSocket(script) as ws:
            await wanted(ws)

    with pytest.raises(AssertionError, match=says):
        FakeClock().run(main())


def test_a_peer_that_expected_something_else_says_so():
    async def main(peer):
        async with MockWebSocket(peer) as ws:
            await ws.send("bye")
            await ws.wait_closed()

    peer = ScriptedPeer(PeerScript().expect({"type": "hi"}))
    FakeClock().run(main(peer))
    with pytest.raises(ScriptFailed, match=r"connection 1: expected \{'type': 'hi'\}, got bye"):
        peer.check()


def test_a_mock_without_a_loop_says_where_to_make_it():
    with pytest.raises(Exception, match="expected a running event loop, got none"):
        MockWebSocket()
