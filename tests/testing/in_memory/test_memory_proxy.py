from __future__ import annotations

import asyncio

import pytest
import websockets

from rtlab.faults.seeded_fault_timeline import FaultScript
from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.in_memory.memory_proxy import MemoryProxy
from rtlab.testing.mock.mock_script_steps import PeerScript, echo
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import ScriptedPeer


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


def test_a_refusals_retry_after_passes():
    async def main():
        ws = MockWebSocket(ScriptedPeer(PeerScript().refuse(503, retry_after=2.5), link=MemoryProxy()))
        with pytest.raises(websockets.InvalidStatus) as refused:
            await ws.opened()
        return refused.value.response.status_code, refused.value.response.headers["Retry-After"]

    assert FakeClock().run(main()) == (503, "2.5")
