"""The receiving end of a data link: order, and messages that are handled as they arrive."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from rtlab.errors import TransportClosed
from rtlab.webrtc import receive_queue
from rtlab.webrtc.receive_queue import ReceiveQueue
from tests.memory import turns


@pytest.fixture
def queue(monkeypatch):
    def link(peer, channel, put, ended, *, clock):
        return SimpleNamespace(put=put, told=ended, ended=None, pause=lambda: None, resume=lambda: None)

    monkeypatch.setattr(receive_queue, "DataLink", link)
    return ReceiveQueue(None, None)


async def test_what_is_not_taken_is_returned_and_what_follows_waits_for_it(queue):
    taken = []

    def take(frame):
        if frame == "no":
            return False
        taken.append(frame)
        return True

    waiting = asyncio.create_task(queue.get(take))
    await turns()
    for frame in ("a", "b", "no", "c"):
        queue.link.put(frame)
    assert taken == ["a", "b"]
    assert await waiting == "no"
    queue.link.put("d")
    assert [await queue.get(take), await queue.get(take)] == ["c", "d"]
    assert taken == ["a", "b"]


async def test_nothing_is_offered_once_nobody_waits(queue):
    taken = []
    waiting = asyncio.create_task(queue.get(lambda frame: taken.append(frame) or True))
    await turns()
    waiting.cancel()
    await asyncio.wait([waiting])
    queue.link.put("a")
    assert taken == []
    assert await queue.get() == "a"


async def test_the_end_comes_after_the_last_message(queue):
    waiting = asyncio.create_task(queue.get(lambda frame: False))
    await turns()
    queue.link.put("a")
    queue.link.ended = TransportClosed(1000, "bye", clean=True)
    queue.link.told(queue.link.ended)
    assert await waiting == "a"
    with pytest.raises(TransportClosed, match="bye"):
        await queue.get()
