from __future__ import annotations

import ast
import asyncio
import json
import re
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from rtlab import Lab
from rtlab.experiments.sse_conformance.scoreboard import sse_scoreboard
from tests.notebook_exercises import NOTEBOOKS, run

NAME = "03_server_sent_events"


def defined(name: str, **names: Any) -> Any:
    """Return what the notebook's own cell defines under a name."""
    notebook: Any = json.loads((NOTEBOOKS / f"{NAME}.ipynb").read_text("utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for source in sources:
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue  # awaits on its top level
        found = [node for node in tree.body if getattr(node, "name", None) == name]
        if found:
            exec(compile(ast.Module(found, []), NAME, "exec"), names)
            return names[name]
    raise AssertionError(f"no cell of {NAME} defines {name}")


async def test_the_bare_client_comes_back_never_sooner_than_the_server_said():
    """HTML standard §9.2.3: after each loss the reconnection time, and, if wanted, some more."""
    delays: list[float] = []
    highest: list[float] = []
    answers = iter((b"retry: 400\n\n", None, None, b"retry: 50\n\n"))

    async def sleep(seconds: float) -> None:
        delays.append(seconds)

    def uniform(low: float, high: float) -> float:
        highest.append(high)
        return low

    def answer(request: httpx.Request) -> httpx.Response:
        body = next(answers, b"")
        if body is None:
            return httpx.Response(503)
        return httpx.Response(
            200, content=body, headers={"Content-Type": "text/event-stream"} if body else {}
        )

    def client(**options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(answer), **options)

    follow = defined(
        "follow",
        asyncio=SimpleNamespace(sleep=sleep),
        random=SimpleNamespace(uniform=uniform),
        httpx=SimpleNamespace(AsyncClient=client, Timeout=httpx.Timeout, TransportError=httpx.TransportError),
        Decoder=defined("Decoder", re=re),
    )
    async with asyncio.timeout(20):
        assert await follow("http://prices.test/", print, cap=1.0) == (200, "")
    assert delays == [0.4, 0.4, 0.4, 0.05]
    # The first wait is spread by a half; after a failure, the room for more grows up to the cap.
    assert highest == [1.5, 1.5, 0.8, 1.5, 1.0, 1.5]


async def test_exercise_1():
    names = await run(NAME, 1)
    assert names["reports"] == ["the session has expired: direct messages may be missing"]
    # The hint: away for longer than the session is kept, and the old one's feed does not follow.
    assert 50 <= len(names["numbers"]) < 200
    assert names["numbers"] == list(range(len(names["numbers"])))


async def test_exercise_2():
    decoder = defined("Decoder", re=re)
    limited = (await run(NAME, 2, Decoder=decoder))["LimitedDecoder"]
    stream = "id: 1\r\ndata: grüße\r\ndata: 2\r\n\r\ndata: 3\r\r".encode()
    wanted = [("message", "grüße\n2", "1"), ("message", "3", "1")]
    for at in range(len(stream)):
        made = limited()
        assert [*made.feed(stream[:at]), *made.feed(stream[at:])] == wanted
    # A line, an event of long lines, and one of lines without a character.
    for endless in (b"x" * 65_536, b"data: " + b"x" * 65_529 + b"\n", b"data\n" * 65_536):
        made = limited()
        got = list(made.feed(b"data: first\n\n"))
        portions = [endless] * (1_000_000 // 65_536 + 2)
        with pytest.raises(ValueError, match="hang up"):
            got += [event for portion in portions for event in made.feed(portion)]
        assert got == [("message", "first", "")]


async def test_exercise_3():
    import asyncio
    import time

    from rtlab import ServerSentEvents

    async with Lab(faults=True) as lab:
        arrivals = defined(
            "arrivals", asyncio=asyncio, time=time, np=np, lab=lab, ServerSentEvents=ServerSentEvents
        )
        names = await run(NAME, 3, lab=lab, arrivals=arrivals)
        buffered = await arrivals(100, lab.faults.buffer_response(bytes=4096))
    limited = names["limited"]
    # The hint: 100 ms and a little, because the limit comes before the buffer is full.
    assert names["height"] > 80
    # A pause of the machine may be either run's highest tooth, and moves no median: half as high here.
    assert 1.4 * np.median(limited[1] - limited[0]) < np.median(buffered[1] - buffered[0])


async def test_exercise_4():
    names = await run(NAME, 4, sse_scoreboard=sse_scoreboard)
    lost: list[str] = names["rule_10"]
    # The hint: one is about when it takes effect, and the others are numbers to int().
    assert len(lost) == 8
    assert "takes effect without a blank line" in lost
    texts = [ast.literal_eval(name.removeprefix("not ")) for name in lost if name.startswith("not ")]
    assert len(texts) == 7
    assert all(isinstance(int(text), int) for text in texts)
    assert not any(text.isascii() and text.isdigit() for text in texts)
