"""Reads the whole body of a request within limits of size and time, or makes the response that refuses it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from rtlab.server.http_json_responses import NODE, json_error

__all__ = ["BadBody", "read_body"]


class BadBody(Exception):
    """A request's body is not accepted.

    Parameters
    ----------
    answer : web.Response
        The response, which says why.
    """

    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


async def read_body(request: web.Request, limit: int | None = None) -> bytes:
    """Return the whole body of a request.

    Parameters
    ----------
    request : web.Request
        A request whose body has not been read yet.
    limit : int, optional
        Bytes that the body may have; by default the application's limit. Reading stops as soon as a
        body exceeds it; if ``Content-Length`` already exceeds this limit, nothing is read.

    Raises
    ------
    BadBody
        When it is compressed, does not come in time, or is too large.
    """
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        text = f"expected a body without Content-Encoding, got {encoding!r:.40}: send it as it is"
        raise BadBody(json_error(415, "compressed", text))
    if limit is not None and (request.content_length or 0) > limit:
        raise _too_large(limit)
    options = request.app[NODE].options
    patience = None if options.security == "naive" else options.header_timeout
    try:
        async with asyncio.timeout(patience):
            if limit is None:
                return await request.read()
            body = bytearray()
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    raise _too_large(limit)
            return bytes(body)
    except TimeoutError:
        text = f"expected the whole body within {patience:g} s"
        raise BadBody(json_error(408, "slow_body", text)) from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(options.max_message_bytes) from None


def _too_large(limit: int) -> BadBody:
    return BadBody(json_error(413, "too_large", f"expected at most {limit:,} bytes: send less at a time"))
