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
