from __future__ import annotations

import asyncio
import json

import nbformat
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from rtlab import Lab, RoomManager, WebSocketConnection
from tests.notebook_exercises import NOTEBOOKS, run

NAME = "10_rooms_and_presence"


async def test_exercise_1():
    names = await run(NAME, 1)
    assert names["one_by_one"] == 200 * 201 * 401 // 6
    assert names["one_by_one"] / 10 < names["together_by_ten"] < names["one_by_one"] / 9


async def test_exercise_2():
    cells = nbformat.read(NOTEBOOKS / f"{NAME}.ipynb", as_version=4).cells
    async with asyncio.timeout(30), Lab(faults=True) as lab:
        given = {
            "asyncio": asyncio,
            "json": json,
            "connect": connect,
            "ConnectionClosed": ConnectionClosed,
            "WebSocketConnection": WebSocketConnection,
            "RoomManager": RoomManager,
            "lab": lab,
        }
        for beginning in ("class NaiveRooms", "async def forty"):  # earlier cells of the notebook
            exec(next(cell.source for cell in cells if cell.source.startswith(beginning)), given)
        rejoined = (await run(NAME, 2, **given))["rejoined"]
    assert rejoined == [*range(10), *range(20, 40)]


async def test_exercise_3():
    shown = (await run(NAME, 3))["shown"]
    assert (shown(None), shown(1)) == (2, 1)
