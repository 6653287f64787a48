from __future__ import annotations

from rtlab import Lab, Recorder, WebSocketConnection
from rtlab.experiments.transports.transport_comparison import take_feed
from tests.notebook_exercises import run


async def test_exercise_1():
    async with Lab(faults=True) as lab:
        names = await run(
            "00_start_here",
            1,
            lab=lab,
            Recorder=Recorder,
            WebSocketConnection=WebSocketConnection,
            take_feed=take_feed,
        )
    # Half of the round trip, to what the two clocks are known; the machine adds least to the quickest.
    assert 48 <= names["slow"].percentiles("websocket", [0], "transit")[0] < 100
