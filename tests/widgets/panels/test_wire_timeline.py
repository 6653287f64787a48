"""Rows of a recording: what the page gets, how the controls change them, and the same as code."""

from __future__ import annotations

import ast
import asyncio
from typing import Any

import pytest

from rtlab.testing.recordings.journal import Journal, JournalEntry, JournalError
from rtlab.testing.recordings.replayed_connection import Replay
from rtlab.widgets.panels.wire_timeline import WireTimeline


def a_run() -> Journal:
    journal = Journal()
    for entry in (
        JournalEntry(10.0, "client", "state", "Connected"),
        JournalEntry(10.1, "client", "message", '{"type": "echo", "payload": {"n": 1}}'),
        JournalEntry(10.2, "peer", "message", b"\xff\x00"),
        JournalEntry(10.3, "client", "ping"),
        JournalEntry(10.6, "peer", "close", "1012 restart"),
        JournalEntry(10.5, "proxy", "fault", "toxic added: latency"),
    ):
        journal.note(entry)
    return journal


def page_of(panel: WireTimeline) -> list[dict[str, Any]]:
    """Collect what the panel sends, as a page would that never answers."""
    sent: list[dict[str, Any]] = []
    panel.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    return sent


def test_a_page_gets_every_row_in_order_when_it_asks() -> None:
    timeline = WireTimeline(a_run())
    sent = page_of(timeline)
    timeline._from_any_thread(timeline, {"kind": "hello"}, ())
    (message,) = sent
    assert message["fresh"]
    assert [row[:5] for row in message["rows"]] == [
        [0.0, "state", "client", "", "Connected"],
        [0.1, "message", "client", "peer", 'echo {"n":1}'],
        [0.2, "message", "peer", "client", "2 bytes: ff 00"],
        [0.3, "heartbeat", "client", "peer", "ping"],
        [0.5, "fault", "proxy", "", "toxic added: latency"],
        [0.6, "close", "peer", "client", "close 1012 restart"],
    ]
    assert "Service Restart" in message["rows"][-1][5]
    assert repr(timeline) == "WireTimeline(recording, 6 rows)"
    assert repr(timeline.figure()).startswith("<Chart: on the wire: 6 messages")


@pytest.mark.parametrize(
    ("what", "sent"),
    [("message", True), ("close", True), ("ping", True), ("pong", True)]
    + [(what, False) for what in ("reset", "open", "state", "fault", "reconnecting")],
)
def test_the_timeline_draws_an_arrow_where_the_diagram_does(what: str, sent: bool) -> None:
    journal = Journal()
    journal.add(0.0, "peer", what, "words")
    timeline = WireTimeline(journal)
    page = page_of(timeline)
    timeline._from_any_thread(timeline, {"kind": "hello"}, ())
    assert page[0]["rows"][0][3] == ("client" if sent else "")
    assert ("<---" in journal.diagram()) is sent


async def test_news_is_sent_once_and_no_faster_than_the_page_draws() -> None:
    replay = Replay(a_run(), speed=float("inf"))
    timeline = WireTimeline(replay)
    sent = page_of(timeline)
    timeline._receive({"kind": "hello"})
    assert sent[0]["rows"] == []
    assert await replay.run()
    async with asyncio.timeout(60):
        while len(sent) < 2:
            await asyncio.sleep(0.01)
    assert len(sent[1]["rows"]) == 6  # one message for all
    for _ in range(10):
        timeline._heard(JournalEntry(11.0, "client", "ping"))
        timeline._flush()
    assert [len(message["rows"]) for message in sent[2:]] == [1, 1]  # four unseen are enough
    timeline._receive({"kind": "ack", "seq": 99})
    timeline._flush()
    assert len(sent[-1]["rows"]) == 8
    replay.rewind()
    await replay.run()
    timeline._receive({"kind": "ack", "seq": 99})
    timeline._flush()
    assert sent[-1]["fresh"]  # the run begins anew, and not behind its end
    assert len(sent[-1]["rows"]) == 6
    timeline.close()
    replay.rewind()
    await replay.run()
    assert len(sent) == 6


def test_the_controls_are_code_and_nonsense_changes_nothing() -> None:
    timeline = WireTimeline(a_run())
    timeline._receive({"set": {"speed": 2.0}})
    timeline._receive({"set": {"hide": ["state", "heartbeat"]}})
    for nonsense in (
        {"speed": 3},
        {"speed": True},
        {"hide": "state"},
        {"hide": ["x"]},
        {"hide": 5},
        {"hide": [[]]},
    ):
        timeline._receive({"set": nonsense})
    for nonsense in ({"set": 1}, {"kind": "ack", "seq": "x"}, {}):
        timeline._receive(nonsense)
    assert (timeline.speed, timeline.hide) == (2.0, ["heartbeat", "state"])
    assert timeline.code.splitlines()[-1] == "WireTimeline(recording, speed=2.0, hide=['heartbeat', 'state'])"
    names: dict[str, Any] = {"recording": a_run()}
    again = eval(timeline.code.splitlines()[-1], {"WireTimeline": WireTimeline, **names})
    assert again.code == timeline.code
    compile(WireTimeline(Replay(a_run())).code, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert "5 messages" not in repr(timeline.figure())
    assert "4 messages" in repr(timeline.figure())
    assert "6 messages" in repr(timeline.figure(hide=()))  # and the panel's own setting stays
    assert "4 messages" in repr(timeline.figure())


def test_bad_sources_are_named(tmp_path) -> None:
    with pytest.raises(TypeError, match="expected a connection, a WireRecording"):
        WireTimeline(7)
    (tmp_path / "x.jsonl").write_text("nonsense")
    with pytest.raises(JournalError, match="line 1 is no entry"):
        WireTimeline(tmp_path / "x.jsonl")
    with pytest.raises(TypeError, match="a recording has its own"):
        WireTimeline(a_run(), faults=object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="speed: expected one of"):
        WireTimeline(a_run(), speed=3)


async def test_a_flood_costs_the_loop_little_and_what_is_left_out_is_said() -> None:
    timeline = WireTimeline(journal := Journal())
    sent: list[dict[str, Any]] = []

    def send(content: dict[str, Any], buffers: object = None) -> None:
        sent.append(content)
        timeline._receive({"kind": "ack", "seq": content["seq"]})

    timeline.send = send  # type: ignore[method-assign]
    timeline._receive({"kind": "hello"})
    assert len(journal) == 0
    for n in range(2_500):
        timeline._heard(JournalEntry(float(n), "client", "message", "{}"))
    for _ in range(20):
        timeline._flush()
    sizes = [len(message["rows"]) for message in sent[1:]]
    assert max(sizes) == 201
    assert sum(sizes) == 2_001
    assert sent[1]["rows"][0][4] == "… 500 rows came too fast, and are not shown"
    assert sent[-1]["rows"][-1][0] == 2_499.0
    timeline.close()


@pytest.mark.parametrize(("last", "rows"), [(0, 0), (2, 2), (99, 6)])
def test_a_figure_has_at_most_the_newest_rows(last: int, rows: int) -> None:
    assert f": {rows} messages" in repr(WireTimeline(a_run()).figure(last=last))
