from __future__ import annotations

from rtlab import Lab, Recorder, WebSocketConnection
from rtlab.experiments.transport_comparison import take_feed
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
    # Half of the round trip, and what the machine adds.
    assert 50 <= names["slow"].percentiles("websocket", column="transit")[50] < 80
