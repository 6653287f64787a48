from __future__ import annotations

import hpack
import pytest

from rtlab.models.http2_heads import FRAME_HEADER_BYTES, http2_head_bytes, with_body_of, with_cookies

HEAD = (
    "POST /send HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\n"
    "Accept: */*\r\nCookie: s=1; t=2\r\n\r\n"
)


def test_it_is_what_an_encoder_makes_of_the_fields_of_rfc_9113():
    fields = [
        *((":method", "POST"), (":authority", "a.example"), (":scheme", "https"), (":path", "/send")),
        *(("accept", "*/*"), ("cookie", "s=1"), ("cookie", "t=2")),
    ]
    encoder = hpack.Encoder()
    wanted = [FRAME_HEADER_BYTES + len(encoder.encode(fields)) for _ in range(2)]
    assert http2_head_bytes([HEAD, HEAD]) == wanted
    # All fields are in the table by then: an index each.
    assert wanted[1] == FRAME_HEADER_BYTES + len(fields)


def test_a_field_that_changes_is_sent_again():
    first, same, other = http2_head_bytes([HEAD, HEAD, HEAD.replace("/send", "/send?n=12345")])
    assert same < other < first


def test_a_response_has_its_status_and_no_path():
    head = "HTTP/1.1 200 OK\r\nContent-Length: 48\r\nConnection: keep-alive\r\n\r\n"
    encoded = hpack.Encoder().encode([(":status", "200"), ("content-length", "48")])
    assert http2_head_bytes([head]) == [FRAME_HEADER_BYTES + len(encoded)]


def test_cookies_end_the_head():
    bare = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert with_cookies(bare) == bare
    assert with_cookies(bare, "a=1").endswith("Host: a\r\nCookie: a=1\r\n\r\n")


def test_a_head_without_its_end_is_refused():
    with pytest.raises(ValueError, match="ends with an empty line"):
        http2_head_bytes(["GET / HTTP/1.1\r\n"])


def test_a_head_announces_the_body_that_is_sent():
    head = "POST / HTTP/1.1\r\nX-Content-Length: 7\r\ncontent-length: 98\r\nHost: a\r\n\r\n"
    assert with_body_of(head, 126) == head.replace("98", "126")
    assert with_body_of("GET / HTTP/1.1\r\n\r\n", 126) == "GET / HTTP/1.1\r\n\r\n"
