"""Each panel's code runs as it is, in a cell, and does what the panel shows."""

from __future__ import annotations

import ast
import asyncio
import contextlib
from types import SimpleNamespace

import pytest

import rtlab
from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.widgets.panels.active_faults_description import NOTHING
from rtlab.widgets.panels.panel_code_cells import chat_code, faults_code, queue_code, rooms_code
from tests.patterns.in_process import client, serving


class Faults:
    """Notes what is put into the way."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def __getattr__(self, name: str):
        def fault(*args: object, **options: object):
            self.asked.append((name, *args, options))
            return contextlib.nullcontext()

        return fault


@pytest.fixture
async def run(monkeypatch, capsys):
    """Run a cell whose `Lab` is a server of this process; return what it printed."""
    faults = Faults()
    async with serving() as server:
        here = f"127.0.0.1:{server.port}"
        lab = SimpleNamespace(
            url=f"http://{here}", ws_url=f"ws://{here}/ws", faults=SimpleNamespace(ws_url=f"ws://{here}/ws")
        )
        lab.faults.__dict__.update(
            {n: getattr(faults, n) for n in ("profile", "latency", "blackhole", "down")}
        )
        monkeypatch.setattr(rtlab, "Lab", lambda **options: contextlib.nullcontext(lab))

        async def cell(code: str) -> str:
            compiled = compile(code, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            async with asyncio.timeout(30):
                await eval(compiled, {})
            return capsys.readouterr().out

        yield cell, faults, server


async def test_a_queue_as_code(run, tmp_path, monkeypatch):
    cell, _, server = run
    monkeypatch.chdir(tmp_path)
    queue = MessageQueue(client(server), tmp_path / "out box.sqlite", overflow="drop_oldest", window=16)
    code = queue_code(queue)
    assert "MessageQueue(conn, 'out box.sqlite', overflow='drop_oldest', window=16)" in code
    said = await cell(code)
    assert "sent=1" in said
    assert (tmp_path / "out box.sqlite").exists()
    assert "MessageQueue(conn)" in queue_code(MessageQueue(client(server)))


async def test_rooms_and_a_chat_as_code(run):
    cell, _, server = run
    said = await cell(
        rooms_code(client(server), ["lobby", "it's"]).replace("asyncio.sleep(1)", "conn.ping()")
    )
    assert "it's (" in said
    assert said.count("offset=1)") == 2
    users = [client(server, client_id="ada"), client(server, rtlab.LongPolling)]
    said = await cell(chat_code("lobby", users))
    assert said.count("{'text': 'hi'}") >= 3  # each hears itself, and the first the second
    assert "ServerSentEvents" not in chat_code("lobby", users)


async def test_faults_as_code(run):
    cell, faults, _ = run
    await cell(faults_code(NOTHING))
    assert faults.asked == []
    state = {**NOTHING, "rtt": 80, "jitter": 5, "others": ["stall upstream"]}
    assert "# here without a control: stall upstream" in faults_code(state)
    await cell(faults_code(state))
    await cell(faults_code({**NOTHING, "profile": "3g", "pulled": True}))
    await cell(faults_code({**NOTHING, "down": True}))
    assert faults.asked == [
        ("latency", 80, {"jitter": 5}),
        ("profile", "3g", {}),
        ("blackhole", {}),
        ("down", {}),
    ]
