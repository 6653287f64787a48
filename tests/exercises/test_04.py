from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rtlab import Lab
from rtlab.experiments.transports.long_poll_delay import measure_poll_delay
from rtlab.models.polling import long_poll_extra_wait, long_poll_requests_rate
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response
from tests.notebook_exercises import run

NAME = "04_long_polling"


async def test_exercise_1():
    halved: dict[float, float | None] = (await run(NAME, 1))["halved"]
    assert halved[0.5] is None
    assert halved[2] == pytest.approx(0.80, abs=0.005)
    assert halved[10] == pytest.approx(0.17, abs=0.01)
    # The hint: about λ beyond nothing but short sleeps, R/(R + S) of it on a busy stream.
    assert long_poll_requests_rate(1000, 1.5) / long_poll_requests_rate(1000, 1) == pytest.approx(1 / 1.5)
    assert long_poll_requests_rate(0.001, 3) == pytest.approx(0.001, rel=0.01)


async def test_exercise_2():
    polls, came = (await run(NAME, 2))["poll_calmly"], list[Any]()

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        n = len(server.requests)
        body = json.dumps({"messages": [n], "cursor": n}).encode()
        # Ten with a message each, then nothing any more.
        writer.write(response(200, body) if n <= 10 else response(204))
        return True

    async with ScriptedServer(script) as server:
        task = asyncio.create_task(polls(server.url, came.append))
        async with asyncio.timeout(10):
            while len(came) < 10:
                await asyncio.sleep(0.001)
        start = len(server.requests)
        await asyncio.sleep(0.4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert came == list(range(1, 11))
    assert len(server.requests) - start <= 8
    assert [request.query.get("cursor") for request in server.requests[:3]] == [None, "1", "2"]


async def test_exercise_3():
    async with Lab(faults=True) as lab:
        names = await run(
            NAME,
            3,
            lab=lab,
            measure_poll_delay=measure_poll_delay,
            long_poll_extra_wait=long_poll_extra_wait,
        )
    fixed = names["fixed"]
    assert long_poll_extra_wait(5, 0.1) == pytest.approx(0.0226, abs=0.0001)
    assert fixed.waits.mean() < 0.5 * long_poll_extra_wait(5, fixed.gaps.mean())


async def test_exercise_4():
    names = await run(NAME, 4)
    assert names["before"] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert names["after"] == list(range(10))
