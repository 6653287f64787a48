"""``PUT /api/page-origin``: with the admin token, allow the pages of one more origin, or no longer."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from rtlab.errors import MessageError
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.origin_and_host_headers import is_origin
from rtlab.server.endpoints.request_body_limits import BadBody, read_body
from rtlab.server.http_json_responses import NODE, json_error, json_response
from rtlab.server.middleware.admin_token import token_matches

__all__ = ["set_page_origin"]

MAX_BODY_BYTES: Final = 1024


class _Page(msgspec.Struct):
    origin: str | None


async def set_page_origin(request: web.Request) -> web.Response:
    """``{"origin": "http://localhost:8888"}`` allows that origin, in place of the former; null allows none.

    It applies to new requests; open connections stay.
    """
    node = request.app[NODE]
    if not token_matches(request, node.options.token):
        return json_error(401, "token", "send the lab's token: Authorization: Bearer …")
    try:
        asked = parse_json(await read_body(request, MAX_BODY_BYTES), _Page)
    except BadBody as error:
        return error.answer
    except MessageError as error:
        return json_error(400, error.code, str(error))
    if asked.origin is not None and not is_origin(asked.origin):
        text = f"expected an origin such as 'http://localhost:8888', got {asked.origin!r:.100}"
        return json_error(400, "bad_origin", text)
    node.page_origin = asked.origin
    return json_response({"origin": node.page_origin})
