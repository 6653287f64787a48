"""A receipt's outcomes, and that nobody has to wait for one."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.delivery.receipt import Receipt
from rtlab.errors import MessageError, NotConnected, QueueError, QueueFull, RequestRefused
from rtlab.protocol.message_format import Message


async def receipt():
    return Receipt(Message("chat"))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (None, "handled"),
        (RequestRefused("no"), "refused"),
        (MessageError("no"), "refused"),
        (QueueFull("dropped before it was sent"), "refused"),
        (QueueError("too old before it was sent"), "refused"),
        (NotConnected("gone"), "unknown"),
        (TimeoutError(), "unknown"),
    ],
)
async def test_each_outcome_has_a_word(error, outcome):
    one = await receipt()
    assert one.outcome == "waiting"
    one.settle({"ok": True}, error)
    one.settle({"ok": False}, NotConnected("too late"))  # the first word counts
    assert one.outcome == outcome
    if error is None:
        assert await one.acked(1) == {"ok": True}
    else:
        with pytest.raises(type(error)):
            await one.acked(1)


async def test_many_may_wait_and_one_may_give_up():
    one = await receipt()
    with pytest.raises(TimeoutError):
        await one.acked(0.001)
    others = [asyncio.create_task(one.acked(5)) for _ in range(3)]
    await asyncio.sleep(0)
    others[0].cancel()
    await asyncio.wait({others[0]})
    one.settle({"ok": True}, None)
    assert await asyncio.gather(*others[1:]) == [{"ok": True}] * 2


async def test_who_waits_too_short_reads_what_became_of_the_message():
    one = await receipt()
    with pytest.raises(TimeoutError, match="after 0 s: no answer; the message is waiting"):
        await one.acked(0)
    one.settle({"ok": True}, None)
    assert await one.acked(1) == {"ok": True}
