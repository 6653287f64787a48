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


@pytest.mark.parametrize("line", [b"-6", b"+8", b"0x8", b"1_0", b"", b" ; a=b"])
def test_only_hexadecimal_digits_are_the_size_of_a_chunk(line: bytes) -> None:
    with pytest.raises(MessageError, match="the size of a chunk"):
        annotate_events(line + b"\r\ndata: x\n\r\n")


def told(data: bytes, *, chunked: bool = True) -> list[tuple[str, str, str]]:
    shown = annotate_events(data, chunked=chunked)
    return [(part.name, part.value, part.comment.partition(":")[0]) for part in shown.parts]


SIZE = ("chunk", "size", "in hexadecimal; the chunk of size 0 tells an end from a cut")
DATA = ("data", "x", "the payload; one field for each of its lines")
END = ("blank", "LF", "the event is complete")


def test_extensions_and_trailers_of_chunks_are_passed_over() -> None:
    assert told(b"9;a=b\r\ndata: x\n\n\r\n0\r\nDigest: 1\r\n\r\nHTTP/1.1") == [SIZE, DATA, END, SIZE]


def test_an_event_may_go_on_in_the_next_chunk() -> None:
    assert told(b"8\r\ndata: x\n\r\n1\r\n\n\r\n") == [SIZE, DATA, SIZE, END]
    assert told(b"4\r\ndata\r\n5\r\n: x\n\n\r\n") == [SIZE, SIZE, DATA, END]


@pytest.mark.parametrize("last", [b"5\r\n: x", b"5", b"0\r\n", b"0\r\nDigest: 1\r\n"])
def test_what_ends_in_an_incomplete_chunk_is_left_out(last: bytes) -> None:
    assert told(b"d\r\ndata: x\n\ndata\r\n" + last) == [SIZE, DATA, END]


def test_a_chunk_that_is_longer_than_its_size_is_refused() -> None:
    with pytest.raises(MessageError, match="the end of a chunk"):
        annotate_events(b"1\r\ndata\r\n")


@pytest.mark.parametrize(("end", "name"), [(b"\r\n", "CR LF"), (b"\r", "CR"), (b"\n", "LF")])
def test_each_of_the_three_line_ends_is_one(end: bytes, name: str) -> None:
    blank = ("blank", name, "the event is complete")
    assert told(b"data: x" + end + end, chunked=False) == [DATA, blank]


def test_a_byte_order_mark_and_bytes_that_are_no_text_are_read_as_a_browser_does() -> None:
    assert told(b"\xef\xbb\xbfdata: \xff\n\n", chunked=False) == [(DATA[0], "\ufffd", DATA[2]), END]


def test_an_empty_stream_is_an_empty_table() -> None:
    shown = annotate_events(bytearray(), chunked=False)
    assert repr(shown) == "Event stream, 0 bytes"
    assert "<table>" in shown._repr_html_()


@pytest.mark.timeout(60)
def test_a_long_line_without_an_end_is_told_at_once() -> None:
    long = b"data: " + b"x" * 300_000  # tried again from each byte, it would take minutes
    with pytest.raises(MessageError, match="without an end"):
        annotate_events(long, chunked=False)
    cut = b"%x\r\n%b\r\n" % (len(long), long) + b"8\r\ndata"
    assert [part.name for part in annotate_events(cut).parts] == ["chunk"]
