"""What the answers to token requests mean for the next attempt."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.transports.auth_api_requests import ask_for_tokens
from rtlab.errors import ConnectFailed
from rtlab.protocol.urls import parse_url
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response


@pytest.mark.parametrize(
    ("answer", "again", "words"),
    [
        (response(200, b"<html>Log in", content_type="text/html"), True, "not the server"),
        (response(302, location="http://portal.example/"), True, "redirect"),
        (response(307, location="http://portal.example/"), True, "redirect"),
        (response(301, location="https://moved.example/"), False, "redirect"),
        (response(308, location="https://moved.example/"), False, "redirect"),
        (response(511, b"<html>Log in", content_type="text/html"), True, "HTTP 511"),
        (response(429, b"{}", retry_after="7"), True, "HTTP 429"),
        (response(401, b'{"error": {"code": "wrong", "message": "no"}}'), False, r"HTTP 401 \(no\)"),
        (response(404), False, "HTTP 404$"),
    ],
)
async def test_which_answers_are_worth_another_try(answer: bytes, again: bool, words: str) -> None:
    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with ScriptedServer(script) as server:
        with pytest.raises(ConnectFailed, match=words) as caught:
            await ask_for_tokens("refresh", parse_url(server.url), {"refreshToken": "s3cret"})
        assert len(server.requests) == 1
    error = caught.value
    assert (error.retryable, error.status) == (again, int(answer[9:12]))
    assert error.retry_after == (7.0 if error.status == 429 else None)
    assert error.code == ("wrong" if error.status == 401 else "")
