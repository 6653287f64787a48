from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import websockets

from rtlab.experiments.throughput.batched_server_simulation import play_window
from rtlab.measure.load_generator import poisson_times
from rtlab.models import batching as model
from rtlab.policies.size_or_time_batching_windows import FixedTick
from tests.notebook_exercises import run

NAME = "11_batching"
NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / f"{NAME}.ipynb"
COSTS = {"per_frame": 0.0009, "per_message": 0.0001}


async def test_exercise_1():
    wait = (await run(NAME, 1, np=np, model=model))["T"]
    assert wait == pytest.approx(0.0172, abs=1e-4)
    assert model.batch_size(300, wait) == pytest.approx(6.2, abs=0.05)
    # The hint: E[W] is between T/2 and T.
    assert wait / 2 < model.batch_delay(300, wait) < wait


async def test_exercise_2():
    better = (await run(NAME, 2, np=np, model=model, COSTS=COSTS))["better"]
    assert better == list(range(880, 1000, 10))
    assert model.loaded_delay(1000, 0, **COSTS) == np.inf


async def test_exercise_3():
    names = await run(
        NAME, 3, np=np, play_window=play_window, poisson_times=poisson_times, FixedTick=FixedTick
    )
    assert (names["in_step"], names["spread"]) == (31, 3)


async def test_exercise_4():
    assert (await run(NAME, 4))["p99"] == pytest.approx(4.4)


async def test_each_result_of_the_batcher_without_rtlab_ends_when_the_connection_is_cut():
    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    sources = [source for source in sources if source.startswith(("def settle", "class Batcher:"))]
    names: dict[str, Any] = {"asyncio": asyncio, "json": json, "websockets": websockets}
    exec("\n".join(sources), names)

    async def cut(connection: websockets.ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async with (
        asyncio.timeout(30),
        websockets.serve(cut, "127.0.0.1", 0) as server,
        websockets.connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxy=None) as socket,
    ):
        batcher = names["Batcher"](socket, size=2, wait=0.001)
        before = [batcher.send("echo", n) for n in range(2)]
        with pytest.raises(websockets.ConnectionClosedError):
            await batcher.read()
        after = batcher.send("echo", 2)  # its timer fires when nothing can be sent any more
        ended = await asyncio.gather(*before, after, return_exceptions=True)
    assert [str(error) for error in ended] == ["unknown: the connection ended"] * 3
