"""What requests expect, over raw sockets, of each HTTP server that listens here."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from rtlab.lab.lab import Lab

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[Lab]:
    async with Lab(faults=True) as lab:
        yield lab


def ask(url: str, path: str, expect: bytes, version: bytes = b"HTTP/1.1", body: bytes = b"") -> bytes:
    """Send a request, and return all that comes back until the connection ends."""
    host, port = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
    method = b"POST " if body else b"GET "
    fields = b"\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body)
    with socket.create_connection((host, port), 20) as wire:
        wire.sendall(method + path.encode() + b" " + version + fields + expect + b"\r\n\r\n" + body)
        said = b""
        while data := wire.recv(65_536):
            said += data
    return said


@pytest.mark.parametrize("part", ["server", "fault API"])
@pytest.mark.parametrize("expect", [b"Expect: \xff", b"Expect: 103-more", b"Expect: \xff, a\r\nExpect: \xfe"])
async def test_what_nobody_knows_is_ignored_on_known_and_unknown_paths(
    lab: Lab, part: str, expect: bytes
) -> None:
    url = lab.url if part == "server" else lab.faults.api_url
    known = ask(url, "/healthz" if part == "server" else "/version", expect)
    assert known.startswith(b"HTTP/1.1 200 " if part == "server" else b"HTTP/1.1 401 ")
    unknown = ask(url, "/nowhere", expect)
    assert unknown.startswith(b"HTTP/1.1 404 " if part == "server" else b"HTTP/1.1 401 ")
    assert "Traceback" not in lab._nodes[0].last_lines()


@pytest.mark.parametrize("expect", [b"Expect: 100-continue", b"Expect: \xff\r\nExpect: a, 100-Continue"])
async def test_a_client_that_waits_for_100_is_told_to_go_on_and_one_of_http_1_0_is_not(
    lab: Lab, expect: bytes
) -> None:
    said = ask(lab.url, "/healthz", expect)
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    assert ask(lab.url, "/healthz", expect, b"HTTP/1.0").startswith(b"HTTP/1.0 200 ")
