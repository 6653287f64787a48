"""The whole body of a POST, or the answer that says why it cannot be had."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from rtlab.server.http_answers import NODE, json_error

__all__ = ["BadBody", "read_body"]

#: Seconds that a request's body may take.
BODY_TIMEOUT: Final = 10.0


class BadBody(Exception):
    """A request's body that cannot be had.

    Parameters
    ----------
    answer : web.Response
        What to answer; it says why.
    """

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


async def read_body(request: web.Request) -> bytes:
    """Return the whole body of a request.

    Raises
    ------
    BadBody
        When it is compressed, does not come in time, or is too large.
    """
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        text = f"expected a body without Content-Encoding, got {encoding!r:.40}: send it as it is"
        raise BadBody(json_error(415, "compressed", text))
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            return await request.read()
    except TimeoutError:
        text = f"expected the whole body within {BODY_TIMEOUT:g} s"
        raise BadBody(json_error(408, "slow_body", text)) from None
    except web.HTTPRequestEntityTooLarge:
        limit = request.app[NODE].options.max_message_bytes
        text = f"expected at most {limit:,} bytes: send less at a time"
        raise BadBody(json_error(413, "too_large", text)) from None
