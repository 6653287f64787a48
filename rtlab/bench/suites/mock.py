"""``rtlab bench mock``: a mock's round trips beside a socket's, and an hour of reconnects in memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import numpy as np
import websockets

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.mock.mock_script_steps import PeerScript, echo
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.transport_on_mock_websocket import mock_connection

__all__ = ["hour_of_reconnects", "run"]

PAIRS: Final = 9
TRIPS: Final = 1_000
#: Round trips of a mock for each one of a socket, so that both take about as long.
MORE: Final = 50
#: Simulated hours, in addition to the 20 of the tests.
HOURS: Final = 980
LEAST_RATIO: Final = 50.0
LONGEST_HOUR: Final = 0.05
TIMEOUT: Final = 60.0
_MESSAGE: Final = '{"type":"echo","payload":1}'


async def _trips(ws: Any, count: int) -> float:
    """Return round trips per second, made one after the other."""
    send, recv = ws.send, ws.recv
    async with asyncio.timeout(TIMEOUT):
        began = time.perf_counter()
        for _ in range(count):
            await send(_MESSAGE)
            await recv()
        return count / (time.perf_counter() - began)


def hour_of_reconnects(script: PeerScript) -> list[tuple[str, float, object]]:
    """Run one connection for an hour on a fake clock.

    Parameters
    ----------
    script : PeerScript
        What the mock peer does on each connection.

    Returns
    -------
    list of (str, float, object)
        The connection's events: name, time in seconds, and the event itself.
    """

    async def live() -> list[tuple[str, float, object]]:
        seen: list[tuple[str, float, object]] = []
        conn = mock_connection(script, rng=np.random.default_rng(12), retry_initial=True)
        for name in ("connected", "disconnected", "reconnecting"):
            conn.on(name, lambda event, name=name: seen.append((name, event.at, event)))
        opening = asyncio.create_task(conn.connect())
        await asyncio.sleep(3600)
        await conn.close()
        await asyncio.gather(opening, return_exceptions=True)
        return seen

    return FakeClock().run(live())


def _hours(count: int) -> tuple[list[float], int]:
    """Return how many seconds each simulated hour took, and how many hours differ from the first."""
    first, took, different = hour_of_reconnects(PeerScript().refuse()), list[float](), 0
    for _ in range(count):
        began = time.perf_counter()
        seen = hour_of_reconnects(PeerScript().refuse())
        took.append(time.perf_counter() - began)
        different += seen != first
    return took, different


async def run(start_lab: StartLab) -> list[Result]:
    """Measure the test doubles: the mock socket and the fake clock.

    Parameters
    ----------
    start_lab : StartLab
        Starts the lab whose server answers the real socket.

    Returns
    -------
    list of Result
        Round trips per second of a mock, and of bare ``websockets`` on loopback, in turns; seconds that
        a simulated hour of refused connects takes; hours whose events differ from the first one's.
    """
    mocks: list[float] = []
    reals: list[float] = []
    lab = await start_lab()
    try:
        async with websockets.connect(lab.ws_url, compression=None, proxy=None) as real:
            await real.recv()  # the welcome
            async with MockWebSocket(PeerScript().answer(echo)) as mock:
                for ends in (real, mock):
                    await _trips(ends, TRIPS // 10 + 1)
                for _ in range(PAIRS):
                    reals.append(await _trips(real, TRIPS))
                    mocks.append(await _trips(mock, TRIPS * MORE))
    finally:
        await lab.stop()
    ratios = [mock / real for mock, real in zip(mocks, reals, strict=True)]
    took, different = await asyncio.to_thread(_hours, HOURS)  # FakeClock runs a loop of its own
    return [
        Result.paired("mock", "round trips", mocks, "1/s", "websockets, loopback", reals),
        Result.of("mock", "times a socket's round trips", ratios, "×", "limit, at least", [LEAST_RATIO]),
        Result.of("mock", "an hour of reconnects", took, "s", "limit", [LONGEST_HOUR]),
        Result.of("mock", "hours that differ", [different], "hours", "limit", [0]),
    ]
