"""The inspector over a real connection through a real cut, over its recording, and its options as code."""

from __future__ import annotations

import ast
import asyncio
from typing import Any

import pytest

from rtlab import Constant, Lab, Replay, WebSocketConnection
from rtlab.client.connection import Connection
from rtlab.policies.backoff import FullJitter
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping
from rtlab.policies.state_transition_table import TABLE
from rtlab.testing.recordings.journal import Journal, JournalEntry
from rtlab.testing.recordings.live_connection_recorder import WireRecording
from rtlab.widgets.panels.connection_facts import EDGES
from rtlab.widgets.panels.connection_inspector import ConnectionInspector


async def test_a_cut_is_seen_live_and_the_recording_ends_in_the_same_facts(tmp_path: Any) -> None:
    async with Lab(faults=True) as lab, asyncio.timeout(60):
        conn = WebSocketConnection(lab.faults.ws_url, backoff=Constant(0.01))
        live = ConnectionInspector(conn)
        sent: list[dict[str, Any]] = []

        def send(content: dict[str, Any], buffers: object = None) -> None:
            sent.append(content)
            live._receive({"kind": "ack", "seq": content["seq"]})

        live.send = send  # type: ignore[method-assign]
        live._from_any_thread(live, {"kind": "hello"}, ())
        again = asyncio.Event()
        async with conn:
            late = ConnectionInspector(conn, faults=lab.faults)  # attached when it was open
            conn.once("connected", lambda event: again.set())
            async with late:
                await lab.faults.cut()
                await again.wait()
            while not any(message["counts"]["connects"] == 2 for message in sent):
                await asyncio.sleep(0.01)  # the page is told while the cell awaits
    facts = live.facts
    assert (facts.state, facts.former) == ("Closed", "Connected")
    assert [(row["number"], row["outcome"].split()[0]) for row in facts.attempts] == [
        (0, "connected"),
        (1, "connected"),
    ]
    assert [(row["code"], row["again"]) for row in facts.closes] == [(1006, True), (1000, False)]
    assert "without a close frame" in facts.closes[0]["meaning"]
    assert sent[-1]["options"]["backoff"] == "Constant(seconds=0.01)"
    for name in ("connects", "disconnects"):
        assert late.facts.counts[name] == facts.counts[name] == 2
    assert [(row["number"], row["outcome"]) for row in late.facts.attempts] == [
        (row["number"], row["outcome"]) for row in facts.attempts
    ]
    assert late.facts.attempts[0]["at"] == pytest.approx(facts.attempts[0]["at"], abs=5)
    assert late.facts.counts["faults"] == 1
    assert late.code.endswith("ConnectionInspector(conn, faults=lab.faults)")
    live.feed.journal.save(tmp_path / "run.jsonl")
    live.close()
    late.close()
    assert not conn._wire.watchers

    replay = Replay(tmp_path / "run.jsonl", speed=float("inf"))
    later = ConnectionInspector(replay)
    assert later.facts.state == "Disconnected"
    await replay.run()
    replay.rewind()  # as often as one likes
    await replay.run()
    ended = ConnectionInspector(tmp_path / "run.jsonl")
    for inspector in (later, ended):
        assert inspector.summary() == live.summary()
        assert inspector.code == live.code
        assert list(inspector.facts.attempts) == list(facts.attempts)


def test_attempts_say_how_they_went_and_what_gave_up() -> None:
    journal = Journal()
    for n, (what, data) in enumerate(
        (
            ("state", "Connecting"),
            ("reconnecting", '{"attempt": 1, "delay": 0.5, "reason": "refused"}'),
            ("state", "Reconnecting"),
            ("reconnecting", '{"attempt": 2, "delay": 1.5, "reason": "refused again"}'),
            ("error", '{"source": "connect", "message": "gave up"}'),
            ("state", "Disconnected"),
            ("recording", '{"options": 7}'),  # a later version's
            ("disconnected", '{"code": "what"}'),
        )
    ):
        journal.note(JournalEntry(float(n + 1), "client", what, data))
    facts = ConnectionInspector(journal).facts
    assert [(row["number"], row["delay"], row["outcome"]) for row in facts.attempts] == [
        (0, 0.0, "refused"),
        (1, 0.5, "refused again"),
        (2, 1.5, "given up"),
    ]
    assert facts.note == "gave up"
    assert facts.counts["errors"] == 1


def test_the_diagram_has_every_arrow_of_the_table() -> None:
    assert set(EDGES) == {(r.state.value, r.then.value) for r in TABLE if r.state is not r.then}
    script = str(ConnectionInspector(Journal())._esm)
    for state in {state for edge in EDGES for state in edge}:
        assert f"  {state}: [" in script, state


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"backoff": FullJitter(base=0.1, cap=2.0), "max_reconnect_attempts": 4, "heartbeat": Ping(3.0, 2.0)},
        {"retry_initial": True, "heartbeat": None, "max_queue": 7, "connect_timeout": 1.5},
    ],
)
def test_the_code_makes_a_connection_with_the_same_options(options: dict[str, Any]) -> None:
    conn = WebSocketConnection("ws://127.0.0.1:9/ws", **options)
    code = ConnectionInspector(conn).code
    names: dict[str, Any] = {"url": "ws://127.0.0.1:9/ws"}
    exec(compile(code, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    assert isinstance(names["conn"], Connection)
    assert names["conn"].options == conn.options


async def test_a_stopped_recording_is_told_to_the_page_and_its_time_stands_still() -> None:
    now = [10.0]
    conn = Connection(lambda: None, clock=lambda: now[0])
    recording = WireRecording(conn)
    inspector = ConnectionInspector(recording)
    news: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    inspector.send = lambda content, buffers=None: news.put_nowait(content)  # type: ignore[method-assign]
    inspector._from_any_thread(inspector, {"kind": "hello"}, ())
    now[0] = 15.0
    async with asyncio.timeout(20):
        assert (await news.get())["live"]
        assert inspector._news(fresh=True)["since"] == 5.0
        recording.stop()
        told = await news.get()
    assert (told["live"], told["since"]) == (False, 0.0)
    inspector.close()
    assert not recording._stop_listeners
