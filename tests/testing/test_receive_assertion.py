from __future__ import annotations

import asyncio

import pytest

from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import ScriptedPeer
from rtlab.testing.receive_assertion import expect


def test_a_failed_expectation_draws_what_did_happen():
    async def main():
        script = PeerScript().expect({"type": "hi"}).send({"type": "welcome"}).stay_silent()
        async with MockWebSocket(ScriptedPeer(script)) as ws:
            await ws.send('{"type":"hi"}')
            await expect(ws).to_receive({"type": "welcome"})
            await expect(ws).to_receive({"type": "news"}, within=3)

    with pytest.raises(AssertionError) as failed:
        FakeClock().run(main())
    text = str(failed.value)
    assert text.startswith("expected {'type': 'news'}, got nothing within 3 s\nWhat did happen:")
    assert '|---- {"type":"hi"} ' in text
    assert '|<--- {"type":"welcome"} ' in text


@pytest.mark.parametrize(
    ("script", "wanted", "says"),
    [
        (PeerScript().send("a"), lambda ws: expect(ws).to_receive("b"), "expected b, got a"),
        (
            PeerScript().close(1012),
            lambda ws: expect(ws).to_receive(...),
            "anything, got received 1012",
        ),
        (
            PeerScript().close(1012),
            lambda ws: expect(ws).to_close(1000),
            "with 1000, got 1012",
        ),
        (PeerScript(), lambda ws: expect(ws).to_close(within=2), "expected the end within 2 s, it is OPEN"),
        (PeerScript(), lambda ws: expect(ws.peer).to_receive("x"), "expected x, got nothing within 1 s"),
    ],
)
def test_each_failure_says_what_came_instead(script: PeerScript, wanted, says: str):
    async def main():
        async with MockWebSocket(script) as ws:
            await wanted(ws)

    with pytest.raises(AssertionError, match=says):
        FakeClock().run(main())


class Heard:
    """Something with ``recv()`` that has no journal, as a connection of `websockets`."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)

    async def recv(self) -> str:
        if not self.words:
            await asyncio.Event().wait()
        return self.words.pop(0)


@pytest.mark.parametrize(
    ("skip", "text"),
    [
        (True, "expected x, got nothing that fits within 1 s\nwhat came before: a\nwhat came before: b"),
        (False, "expected x, got a"),
    ],
)
def test_without_a_journal_a_failure_lists_all_that_came(skip: bool, text: str):
    with pytest.raises(AssertionError) as failed:
        FakeClock().run(expect(Heard("a", "b")).to_receive("x", skip=skip))
    assert str(failed.value) == text


def test_what_came_for_an_earlier_assertion_is_not_said_to_have_come_now():
    async def main():
        wanted = expect(Heard("a", "b"))
        await wanted.to_receive("b", skip=True)
        await wanted.to_receive("x", skip=True)

    with pytest.raises(AssertionError, match=r"expected x, got nothing within 1 s\nwhat came before: a$"):
        FakeClock().run(main())
