"""Every line of a real stream is explained, and nothing that varies is shown."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.capture.annotate_sse import annotate_events
from rtlab.capture.tcp_tap import Tap
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.errors import MessageError
from rtlab.lab.lab import Lab


async def body() -> bytes:
    async with asyncio.timeout(20), Lab() as lab, Tap(lab.url) as tap:
        async with ServerSentEvents(tap.url, client_id="ann") as conn:
            told = asyncio.Event()
            for name in ("users_update", "price"):
                conn.on(name, lambda message: told.set())
            await conn.join_room("prices")
            await told.wait()  # who is in the room is told a moment later
            told.clear()
            await conn.send("price", {"AAPL": 4.2}, room_id="prices")
            await told.wait()
        return bytes(tap.connections[0].down).partition(b"\r\n\r\n")[2]


async def test_a_real_stream_reads_the_same_every_time() -> None:
    first, second = annotate_events(await body()), annotate_events(await body())
    assert repr(first) == repr(second)
    assert first._repr_html_() == second._repr_html_()
    events = [part.value for part in first.parts if part.name == "event"]
    assert events == ["welcome", "ack", "users_update", "price"]
    # What varies in an id is left out; how it grows from event to event is what a reader should see.
    assert [part.value for part in first.parts if part.name == "id"] == [
        "….0",
        "….1~prices:…:0",
        "….2~prices:…:0",
        "….3~prices:…:1",
    ]
    assert all(part.comment for part in first.parts)


def test_the_id_of_another_server_is_shown_as_it_is() -> None:
    shown = annotate_events(b"id: 7-x\ndata\n\n", chunked=False)
    assert shown.parts[0].value == "7-x"


def test_fields_and_comments() -> None:
    stream = b": hi\n\nretry: 5\nfoo: 1\ndata\n\n"
    shown = annotate_events(b"%x\r\n%b\r\n" % (len(stream), stream) + b"5\r\nda")
    assert [(part.name, part.value) for part in shown.parts] == [
        ("chunk", "size"),
        ("comment", ""),
        ("blank", "LF"),
        ("retry", "5"),
        ("foo", "1"),
        ("data", ""),
        ("blank", "LF"),
    ]
    assert shown.parts[2].comment == "ends nothing"
    assert shown.parts[4].comment == "unknown: ignored"
    assert shown.parts[6].comment == "the event is complete: deliver it"


@pytest.mark.parametrize("data", [b"xyz\r\n", b"3\r\nabc\r\n"])
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError, match="expected"):
        annotate_events(data)
