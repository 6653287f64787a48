"""A recorded run without a socket: the same events and messages, at the run's own times."""

from __future__ import annotations

import asyncio
import math

import pytest

from rtlab.client.event_emitter import Connected, Disconnected
from rtlab.errors import InvalidState
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message
from rtlab.testing.recordings.journal import Journal, JournalEntry, JournalError
from rtlab.testing.recordings.replayed_connection import Replay


def feed(number: int, at: float) -> JournalEntry:
    message = Message("feed", {"n": number}, ts=at - 0.002, sent=at - 0.001)
    return JournalEntry(at, "peer", "message", JSON.encode(message).decode())


def a_run() -> Journal:
    journal = Journal()
    welcome = JSON.encode(Message("welcome", {"bootId": "here"})).decode()
    for entry in (
        JournalEntry(
            100.0, "client", "recording", '{"bootId": "here", "options": {"backoff": "Constant(1)"}}'
        ),
        JournalEntry(100.0, "client", "state", "Connected"),
        JournalEntry(100.1, "peer", "message", welcome),
        JournalEntry(100.1, "client", "connected", '{"attempt": 0, "transport": "sse"}'),
        *(feed(n, 100.2 + n / 10) for n in range(3)),
        JournalEntry(100.5, "peer", "close", "1012 restart"),
        JournalEntry(100.5, "client", "disconnected", '{"code": 1012, "will_reconnect": true}'),
        JournalEntry(100.25, "proxy", "fault", "a toxic"),  # read of later, as from a proxy's trace
    ):
        journal.note(entry)
    return journal


async def test_it_tells_what_a_connection_told_and_latencies_as_they_were(tmp_path) -> None:
    a_run().save(tmp_path / "run.jsonl")
    replay = Replay(tmp_path / "run.jsonl", speed=math.inf)
    recorder = replay.recorder()
    told: list[object] = []
    order: list[str] = []
    for name in ("connected", "disconnected", "feed"):
        replay.on(name, told.append)
    replay.on_entry(lambda entry: order.append(entry.what))
    assert await replay.run()
    assert order[5:8] == ["fault", "message", "message"]  # by time, however it was written
    assert isinstance(told[0], Connected)
    assert told[0].transport == "sse"
    assert isinstance(told[-1], Disconnected)
    assert (told[-1].at, told[-1].code, told[-1].will_reconnect) == (100.5, 1012, True)
    frame = recorder.to_frame()
    assert list(frame["series"].unique()) == ["sse"]
    assert frame["t_s"].tolist() == pytest.approx([0.2, 0.3, 0.4])
    assert frame["latency_ms"].tolist() == pytest.approx([2.0] * 3)
    assert frame["transit_ms"].tolist() == pytest.approx([1.0] * 3)  # one clock: the recording's own
    assert [(m.kind, m.time) for m in recorder.marks] == [
        *(("connected", 100.1), ("fault", 100.25), ("disconnected", 100.5))
    ]
    assert list(replay.journal) == sorted(a_run(), key=lambda entry: entry.at)


async def test_it_stands_still_goes_on_stops_and_begins_anew() -> None:
    replay = Replay(a_run(), speed=50)
    replay.on("connected", lambda event: replay.pause())
    run = asyncio.create_task(replay.run())
    async with asyncio.timeout(60):
        while not replay.paused:
            await asyncio.sleep(0)
        assert replay.clock() == 100.1
        with pytest.raises(InvalidState):
            await replay.run()
        with pytest.raises(InvalidState):
            replay.rewind()
        replay.once("feed", lambda message: replay.stop())
        replay.resume()
        assert not await run
        assert len(replay.journal) == 5
        assert await replay.run()
        assert len(replay.journal) == 10
        replay.rewind()
        replay.off("connected")
        assert (len(replay.journal), replay.clock()) == (0, 100.0)
        assert await replay.run()
    assert replay.clock() == 100.5


async def test_bad_input_is_named() -> None:
    with pytest.raises(JournalError, match="nothing to play"):
        Replay(Journal())
    with pytest.raises(ValueError, match="speed > 0"):
        Replay(a_run(), speed=0)
    broken = Journal()
    broken.add(0.0, "peer", "message", b"\xff")  # a foreign peer's: it is told, and no message
    broken.add(0.0, "client", "disconnected", '{"code": "x"}')
    with pytest.raises(JournalError, match="'disconnected' cannot be read"):
        await Replay(broken).run()
    failing = Replay(a_run(), speed=math.inf)
    failing.on("connected", lambda event: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await failing.run()
