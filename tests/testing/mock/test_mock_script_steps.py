from __future__ import annotations

import gc
import math

import pytest
from websockets.exceptions import ConnectionClosed

from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.mock.mock_script_steps import PeerScript, ScriptError, echo
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import ScriptedPeer, ScriptFailed
from rtlab.testing.recordings.journal import Journal, JournalError

ENDS = {
    "refuse": lambda script: script.refuse(),
    "close": lambda script: script.close(1000),
    "reset": lambda script: script.reset(),
    "reset_in_mid_frame": lambda script: script.reset_in_mid_frame("half"),
    "half_open": lambda script: script.half_open(),
    "stay_silent": lambda script: script.stay_silent(),
    "answer": lambda script: script.answer(echo),
}


@pytest.mark.parametrize("end", ENDS)
def test_nothing_can_follow_an_end(end: str):
    script = ENDS[end](PeerScript())
    with pytest.raises(ScriptError, match=f'"send" can never happen after "{end}", which'):
        script.send("late")


@pytest.mark.parametrize(
    ("contradiction", "says"),
    [
        (lambda: PeerScript().send("x").refuse(), 'cannot come after "send"'),
        (lambda: PeerScript().pause(1).slow_open(1), 'cannot come after "pause"'),
        (lambda: PeerScript().accept("a").refuse(), "a connection opens once"),
        (lambda: PeerScript().accept("a").accept("b"), "a connection opens once"),
        (lambda: PeerScript().refuse(200 - 99), "expected the status of a refusal, such as 503, got 101"),
        (lambda: PeerScript().refuse(999), "expected the status of a refusal, such as 503, got 999"),
        (lambda: PeerScript().refuse(retry_after=3), "give a status too"),
        (lambda: PeerScript().close(1006), "expected a close code that may be sent"),
        (lambda: PeerScript().close(1000, "x" * 124), "up to 123 bytes"),
        (lambda: PeerScript().pause(-1), "expected seconds, 0 or more, got -1"),
        (lambda: PeerScript().pause(math.nan), "expected seconds, 0 or more, got nan"),
        (lambda: PeerScript().pause("1"), "expected seconds, 0 or more, got '1'"),
        (lambda: PeerScript().pause(math.inf), "it would wait for ever"),
        (lambda: PeerScript().answer("hello"), "expected a function of a message, got 'hello'"),
        (lambda: PeerScript().send({"x": object()}), "JSON cannot say this message"),
        (lambda: PeerScript.replay(Journal()), "the recording has no connection 1"),
    ],
)
def test_a_script_that_contradicts_itself_is_refused_at_once(contradiction, says: str):
    with pytest.raises(ScriptError, match=says):
        contradiction()


def test_what_lasts_a_while_may_be_followed():
    script = PeerScript().answer(echo, lasting=10).stay_silent(lasting=5).close(1012)
    assert repr(script) == "<PeerScript: answer, stay_silent, close>"


def test_a_peer_takes_scripts_only():
    with pytest.raises(
        TypeError, match=r"expected scripts such as PeerScript\(\)\.close\(1012\), got 'hello'"
    ):
        ScriptedPeer("hello")


def test_a_recording_becomes_a_script(tmp_path):
    async def live():
        script = (
            PeerScript().expect({"type": "hi"}).pause(2).send({"type": "welcome"}, b"\x00\x01").close(1012)
        )
        async with MockWebSocket(peer := ScriptedPeer(script)) as ws:
            await ws.send('{"type":"hi","id":"1"}')
            await ws.wait_closed()
        peer.journal.save(tmp_path / "run.jsonl")

    async def again(said: str):
        replayed = PeerScript.replay(tmp_path / "run.jsonl", paced=True)
        async with MockWebSocket(peer := ScriptedPeer(replayed)) as ws:
            await ws.send(said)
            await ws.wait_closed()
            return peer.journal.messages("peer"), ws.close_code, peer.failures

    FakeClock().run(live())
    clock = FakeClock()
    assert clock.run(again('{"type":"hi","id":"other"}')) == (['{"type":"welcome"}', b"\x00\x01"], 1012, [])
    assert clock.now == 2
    _, code, failures = clock.run(again('{"type":"bye"}'))
    assert (code, len(failures)) == (1006, 1)


@pytest.mark.parametrize("content", [b"not json", b"{}", b"\xff", b'{"at": "x"}', b"[" * 5000])
def test_a_file_that_is_no_journal_is_named(tmp_path, content: bytes):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(JournalError, match=r"x\.jsonl, line 1 is no entry"):
        Journal.load(tmp_path / "x.jsonl")
    with pytest.raises(JournalError, match="cannot be read"):
        Journal.load(tmp_path / "missing.jsonl")


async def cannot_be_awaited(data): ...


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda data: 1 / 0, "ZeroDivisionError"),
        (lambda data: pytest.fail("not so"), "not so"),
        (lambda data: object(), "TypeError"),
        (lambda data: cannot_be_awaited(data), "TypeError"),
    ],
)
async def test_an_answering_function_that_raises_fails_the_script(function, error):
    peer = ScriptedPeer(PeerScript().answer(function))
    async with MockWebSocket(peer) as ws:
        await ws.send("hello")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this
    with pytest.raises(ScriptFailed, match=f"the answering function raised {error}"):
        peer.check()


def test_a_peer_that_expected_something_else_says_so():
    async def main(peer):
        async with MockWebSocket(peer) as ws:
            await ws.send("bye")
            await ws.wait_closed()

    peer = ScriptedPeer(PeerScript().expect({"type": "hi"}))
    FakeClock().run(main(peer))
    with pytest.raises(ScriptFailed, match=r"connection 1: expected \{'type': 'hi'\}, got bye"):
        peer.check()
