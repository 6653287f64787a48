"""The solutions of 02_websocket, with the helpers that its own cells define."""

from __future__ import annotations

from typing import Any

import nbformat

from rtlab import Lab, Recorder, WebSocketConnection
from rtlab.capture.tcp_tap import Tap
from rtlab.capture.traffic_parser import frames
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK
from tests.notebook_exercises import NOTEBOOKS, run

NAME = "02_websocket"


def helpers(*starts: str) -> dict[str, Any]:
    """Return what the notebook's imports, and the cells that hold these lines, define."""
    cells = nbformat.read(NOTEBOOKS / f"{NAME}.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    names: dict[str, Any] = {}
    exec(code[0].partition("\nfor old in")[0], names)
    for start in starts:
        (source,) = (text for text in code if f"\n{start}" in f"\n{text}")
        exec(source, names)
    return names


async def test_exercise_1():
    names = await run(NAME, 1, **helpers())
    json_bytes, msgpack_bytes = names["sizes"]["text"]
    assert 0 < json_bytes - msgpack_bytes < 20  # only the JSON around the text shrinks
    floats = names["samples"]["floats"]
    json_bytes, msgpack_bytes = names["sizes"]["floats"]
    assert 0.4 < msgpack_bytes / json_bytes < 0.65
    assert len(MSGPACK.encode(names["Message"]("echo", floats * 2))) - msgpack_bytes == 900  # 9 bytes each
    assert len(JSON.encode(names["Message"]("echo", floats * 2))) - json_bytes <= 100 * 23


async def test_exercise_2():
    names = await run(
        NAME,
        2,
        **{**helpers(), "Lab": Lab, "Tap": Tap, "WebSocketConnection": WebSocketConnection, "frames": frames},
    )
    mixed, random_first = names["lengths"]
    assert len(mixed) == 20
    assert mixed[9] < mixed[0] / 3  # the tenth only points back
    plain = len('{"type":"echo","payload":"abcdef"}')
    assert plain == 34
    assert max(mixed[10:]) < plain / 2  # the JSON around the digits came before
    assert random_first[0] > plain - 3  # nothing to look back at but itself: chance makes it 33 to 35
    assert max(random_first[1:]) < plain / 2


async def test_exercise_3():
    async with Lab(faults=True) as lab:
        names = await run(NAME, 3, **{**helpers("async def until"), "Recorder": Recorder, "lab": lab})
    assert 950 < names["late"].max() < 2500  # as late as the outage was long
    assert 80 <= (names["late"] > 100).sum() <= 150


async def test_exercise_4():
    names = await run(NAME, 4, **helpers("async def scripted", "async def until"))
    assert len(names["met"]) > 5  # no delay stands between the attempts: a first could be 5 s
