from __future__ import annotations

import pytest

from rtlab.capture.annotate_handshake import annotate_handshake
from rtlab.errors import MessageError


def test_what_differs_from_run_to_run_is_left_out():
    lines = ["GET /sse?session=abc&room=a HTTP/1.1", "Host: 127.0.0.1:4000", "Last-Event-ID: 7", "", ""]
    text = repr(annotate_handshake("\r\n".join(lines).encode()))
    assert "GET /sse?session=…&room=a" in text
    assert "Host: 127.0.0.1:…" in text
    assert "Last-Event-ID: …" in text


def test_an_answer_is_named_as_one():
    shown = annotate_handshake(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert shown.title == "HTTP response head"
    assert shown.parts[0].value == "204"


def test_half_a_head_is_refused():
    with pytest.raises(MessageError, match="empty line"):
        annotate_handshake(b"GET / HTTP/1.1\r\nHost: x\r\n")


def comments(*lines: str) -> list[str]:
    head = "\r\n".join([*lines, "", ""]).encode()
    return [part.comment for part in annotate_handshake(head).parts[1:-1]]


@pytest.mark.parametrize(
    ("header", "in_request", "in_response"),
    [
        ("Cache-Control: no-store", "no cache may keep this request", "no cache may keep this answer"),
        ("Cache-Control: no-cache", "a stored answer will not do", "a cache may keep this, and must ask"),
        ("Connection: keep-alive", "asks for the connection to stay open", "the connection stays open"),
        ("Connection: close", "no further request", "the connection ends with this answer"),
        ("Connection: Upgrade", "for this hop only", "for this hop only"),
    ],
)
def test_a_listed_value_is_explained_by_itself(header: str, in_request: str, in_response: str):
    (said,) = comments("GET / HTTP/1.1", header)
    assert said.startswith(in_request)
    (said,) = comments("HTTP/1.1 200 OK", header)
    assert said.startswith(in_response)


def test_each_value_of_a_list_is_explained():
    (said,) = comments("HTTP/1.1 200 OK", "Cache-Control: no-cache, no-transform, max-age=3")
    assert [part.partition("(")[0].strip() for part in said.split(";")] == [
        "a cache may keep this, and must ask the server again before each use",
        "no proxy may change the body, not even compress it",
    ]


def test_only_an_upgrade_is_said_to_be_one():
    assert "Upgrade" not in "".join(comments("GET / HTTP/1.1", "Connection: keep-alive"))
    assert comments("GET / HTTP/1.1", "Connection: x-mine") == [""]


@pytest.mark.parametrize(
    "head",
    [
        b"GET\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x16\x03\x01",
    ],
)
def test_what_is_no_head_is_refused(head: bytes):
    with pytest.raises(MessageError, match="expected the head of an HTTP"):
        annotate_handshake(head)
