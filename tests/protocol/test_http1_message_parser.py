"""Heads and bodies, against h11's reading of the same bytes."""

from __future__ import annotations

import itertools

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlab.protocol.http1_message_parser import Body, NotHttp, chunk_size, parse_head, take_body


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=6),
    st.sampled_from(["chunked", "length", "close"]),
    st.lists(st.integers(0), max_size=8),
    st.binary(max_size=20),
)
def test_bodies_at_any_cut(content: list[bytes], framing: str, cuts: list[int], after: bytes) -> None:
    whole = b"".join(content)
    fields: list[tuple[str, str]] = [("Connection", "close")] if framing == "close" else []
    if framing == "chunked":
        fields.append(("Transfer-Encoding", "chunked"))
    elif framing == "length":
        fields.append(("Content-Length", str(len(whole))))
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    server.next_event()
    raw = server.send(h11.Response(status_code=200, headers=fields)) or b""
    for piece in content:
        raw += server.send(h11.Data(data=piece)) or b""
    raw += server.send(h11.EndOfMessage()) or b""
    head = parse_head(raw, response=True)
    assert head is not None
    body = Body(head)
    stream = raw[head.size :] + (b"" if framing == "close" else after)
    ends = sorted({c % (len(stream) + 1) for c in cuts} | {0, len(stream)})
    got, rest = b"", b""
    for a, b in itertools.pairwise(ends):
        if body.done:
            rest += stream[a:b]
            continue
        piece, left = body.feed(stream[a:b])
        got += piece
        rest += left
    assert got == whole
    if framing != "close":
        assert body.done or not stream
        assert rest == after


@given(st.binary(max_size=200))
def test_noise_is_refused_or_waited_for(data: bytes) -> None:
    for response in (False, True):
        try:
            head = parse_head(data, response=response)
            assert head is None or head.size <= len(data)
            if head:
                Body(head)
        except NotHttp:
            pass


def test_fields_keep_order_and_spelling() -> None:
    raw = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUPGRADE: websocket\r\n\r\nrest"
    head = parse_head(raw)
    assert head is not None
    assert (head.method, head.path, head.size, head.status) == (b"GET", b"/ws", len(raw) - 4, 0)
    assert head.encode() == raw[:-4]
    assert head.get(b"upgrade") == b"websocket"
    assert head.tokens(b"connection") == [b"keep-alive", b"upgrade"]
    assert head.without(b"Upgrade", b"connection").encode() == b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00",  # TLS
        b"HELO there\r\n",
        b"GET / HTTP/2\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_no_http(raw: bytes) -> None:
    with pytest.raises(NotHttp):
        parse_head(raw)


@pytest.mark.parametrize(
    ("status", "fields", "done"),
    [
        (204, b"", True),
        (304, b"Content-Length: 9\r\n", True),
        (101, b"", True),
        (200, b"", False),
        (200, b"Content-Length: 0\r\n", True),
    ],
)
def test_which_responses_have_a_body(status: int, fields: bytes, done: bool) -> None:
    head = parse_head(b"HTTP/1.1 %d X\r\n%b\r\n" % (status, fields), response=True)
    assert head is not None
    assert Body(head).done is done
    assert Body(head, no_body=True).done


@pytest.mark.parametrize("body", [b"xyz\r\n", b"-1\r\n", b"1" * 16 + b"\r\n"])
def test_bad_chunks_are_refused(body: bytes) -> None:
    head = parse_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", response=True)
    assert head is not None
    with pytest.raises(NotHttp):
        Body(head).feed(body)


def test_a_body_under_way_is_taken_up_where_it_stands() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"
    opening = (head + b"x" * 5000)[:4096]
    body = Body.under_way(opening, len(head) + 5000)
    assert body is not None
    assert body.feed(b"x" * 5000 + b"HTTP/1.1 ") == (b"x" * 5000, b"HTTP/1.1 ")
    assert Body.under_way(opening, len(head) + 10_000) is None


def test_a_chunked_body_under_way_stands_at_a_chunk() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    opening = (head + b"1388\r\n" + b"x" * 5000)[:4096]
    body = Body.under_way(opening, len(head) + 6 + 5000 + 2)
    assert body is not None
    assert body.feed(b"1\r\ny\r\n0\r\n\r\nrest") == (b"y", b"rest")
    whole = Body.under_way(head + b"2\r\nx", len(head) + 4)  # all of it was kept: it is read again
    assert whole is not None
    assert whole.feed(b"y\r\n0\r\n\r\n") == (b"y", b"")


def test_messages_in_a_row_are_taken_one_by_one() -> None:
    raw = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    raw += b"POST /b HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiPOST /c HTTP/1.1\r\nContent-Length: 9\r\n\r\nopen"
    at, found = 0, []
    while (head := parse_head(raw, at)) is not None:
        content, at, whole = take_body(raw, at + head.size, head)
        found.append((head.path, content, whole))
    assert found == [(b"/a", b"abc", True), (b"/b", b"hi", True), (b"/c", b"open", False)]
    assert at == len(raw)


def test_the_size_of_a_chunk_is_read_without_its_extensions() -> None:
    assert [chunk_size(line) for line in (b"0", b"Ff", b"8;a=b", b"8 ; a=-1")] == [0, 255, 8, 8]
    for line in (b"", b"-6", b"+8", b"0x8", b"1_0", b";a=b"):
        with pytest.raises(NotHttp):
            chunk_size(line)


def test_the_response_to_head_has_no_body_in_a_row_either() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    head = parse_head(raw, response=True)
    assert head is not None
    assert take_body(raw, head.size, head, no_body=True) == (b"", len(raw), True)
