"""A real connection, recorded: what was sent, came, was asked and told, in order; and as a fixture again."""

from __future__ import annotations

import asyncio

from rtlab import Constant, Lab, WebSocketConnection
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK
from rtlab.protocol.message_format import Message
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.recordings.journal import Journal
from rtlab.testing.recordings.live_connection_recorder import WireRecording


async def test_a_run_with_a_cut_is_recorded_in_order_and_saved(tmp_path) -> None:
    async with Lab(faults=True) as lab, asyncio.timeout(60):
        conn = WebSocketConnection(lab.faults.ws_url, backoff=Constant(0.01), codec=MSGPACK)
        again = asyncio.Event()
        with WireRecording(conn) as recording:
            seen: list[str] = []
            recording.on_entry(lambda entry: seen.append(entry.what))
            async with conn:
                await conn.request("echo", {"n": 1})
                await conn.ping()
                conn.once("connected", lambda event: again.set())
                await lab.faults.cut()
                await again.wait()
                recording.mark("fault", "cut")
                await conn.request("echo", {"n": 2})
        await conn.connect()  # not recorded any more
        with WireRecording(conn) as late:  # of a connection that is open
            await conn.request("echo", {"n": 3})
        await conn.close()
        assert [(e.who, e.what) for e in late.journal] == [
            *(("client", "recording"), ("client", "state"), ("client", "message"), ("peer", "message"))
        ]
        entries = list(recording.journal)
        assert seen == [entry.what for entry in entries[2:]]  # a listener is told what the journal keeps
        told = [(e.connection, e.who, e.what) for e in entries]
        assert told[:2] == [(1, "client", "recording"), (1, "client", "state")]
        states = [e.data for e in entries if e.what == "state"]
        assert states == ["Disconnected", "Connecting", "Connected", "Reconnecting", "Connected", "Closed"]
        first = [what for number, _, what in told if number == 1]
        assert first[2:] == [
            *("state", "state", "message", "connected"),  # Connecting, Connected, the welcome
            *("message", "message", "ping", "pong", "state", "reset", "disconnected", "reconnecting"),
        ]
        assert (2, "proxy", "fault") in told
        assert told[-2:] == [(2, "client", "close"), (2, "client", "disconnected")]
        assert [JSON.decode(text).type for text in recording.journal.messages("peer")] == [
            *("welcome", "echo", "welcome", "echo")
        ]
        assert [e.at for e in entries] == sorted(e.at for e in entries)
        assert '"backoff":"Constant(' in str(entries[0].data)
        script = PeerScript.replay(recording.save(tmp_path / "run.jsonl"))
        assert repr(script) == "<PeerScript: send, expect, send, reset>"


def test_a_listener_that_raises_or_is_removed_keeps_no_other_from_its_turn(caplog) -> None:
    with WireRecording(WebSocketConnection("ws://127.0.0.1:9/ws")) as recording:
        seen: list[str] = []

        def broken(entry) -> None:
            recording.off_entry(removed)
            raise asyncio.CancelledError

        def removed(entry) -> None:
            seen.append("removed")

        for listener in (broken, removed, lambda entry: seen.append(entry.what)):
            recording.on_entry(listener)
        recording.mark("note", "x")
    assert seen == ["note"]
    assert "a listener of a recording raised CancelledError" in caplog.text


def test_a_full_recording_forgets_messages_and_no_states(tmp_path) -> None:
    conn = WebSocketConnection("ws://127.0.0.1:9/ws")
    with WireRecording(conn, limit=3) as recording:
        conn._wire.tell("client", "state", "Connected")
        for n in range(5):
            conn._wire.tell("client", "message", Message("chat", n))
    recording.save(tmp_path / "run.jsonl")
    for journal in (recording.journal, Journal.load(tmp_path / "run.jsonl")):
        assert [entry.what for entry in journal] == ["recording", "state", "state", "note", *["message"] * 3]
        assert len(journal) == 7
        assert "2 messages and heartbeats before this were forgotten" in str(list(journal)[3].data)


def test_what_is_secret_is_not_written() -> None:
    conn = WebSocketConnection("ws://127.0.0.1:9/ws")
    with WireRecording(conn) as recording:
        conn._wire.tell("client", "message", Message("auth", {"token": "TOP"}, "1"))
        conn._wire.tell("peer", "message", Message("welcome", {"session": "SECRET", "clientId": "c"}))
        conn._wire.tell("client", "message", Message("chat", {"text": "hi"}, token="OLD"))
    sent = " ".join(str(entry.data) for entry in recording.journal)
    assert not any(secret in sent for secret in ("TOP", "SECRET", "OLD"))
    assert '"clientId":"c"' in sent
    assert '"text":"hi"' in sent
    script = PeerScript.replay(recording.journal)  # what is hidden is not expected either
    assert script.steps[0].data == {"type": "auth"}
    assert script.steps[2].data == {"type": "chat", "payload": {"text": "hi"}}


def test_a_stop_is_told_once_and_one_who_raises_keeps_no_other_from_it(caplog) -> None:
    recording = WireRecording(WebSocketConnection("ws://127.0.0.1:9/ws"))
    heard: list[str] = []
    recording.on_stop(lambda: 1 / 0)
    recording.on_stop(lambda: heard.append("stopped"))
    removed = lambda: heard.append("removed")  # noqa: E731
    recording.on_stop(removed)
    recording.off_stop(removed)
    assert recording.is_recording
    recording.stop()
    recording.stop()
    assert (recording.is_recording, heard) == (False, ["stopped"])
    assert "a listener of a recording raised ZeroDivisionError" in caplog.text
