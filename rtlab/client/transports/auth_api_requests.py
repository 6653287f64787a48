"""HTTP requests to a server's ``/api/auth/…``, with JSON in both directions."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Callable
from typing import Any, Final, Literal

import httpx
import msgspec

from rtlab.client.transports._http_client import HttpClient, hint_of, loss
from rtlab.errors import ConnectFailed, MessageError
from rtlab.protocol.http_status_and_retry_after import code_in, is_web_page, may_retry, reason_in
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.message_format import fields_of
from rtlab.protocol.urls import Url

__all__ = ["ask_for_tokens"]

# Timeouts
ANSWER_TIMEOUT: Final = 10.0

#: Redirects that may pass, by a captive portal most often. 301 and 308 are permanent: a wrong URL.
TEMPORARY_REDIRECTS: Final = frozenset({302, 303, 307})

# Limits
MAX_ANSWER_BYTES: Final = 64 * 1024


async def ask_for_tokens(
    what: Literal["token", "refresh", "ticket"],
    origin: Url,
    body: dict[str, str],
    *,
    bearer: str | None = None,
    ssl: ssl_module.SSLContext | None = None,
    sending: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Post to ``/api/auth/<what>``; return the fields of the answer.

    Parameters
    ----------
    what : {"token", "refresh", "ticket"}
        ``"token"`` logs in, ``"refresh"`` renews the tokens, ``"ticket"`` asks for a one-time ticket.
    origin : Url
        A URL of the server; its path and query are ignored. Redirects are not followed, because the
        request contains secrets.
    body : dict
        The JSON body of the request.
    bearer : str, optional
        An access token for the ``Authorization`` header; None sends no such header.
    ssl : ssl.SSLContext, optional
        The TLS settings for https; None uses the usual certificate authorities.
    sending : callable
        Called before bytes of the request are written: without a call, the server has seen none of it.

    Raises
    ------
    ConnectFailed
        The server refused (``code`` is its error code), or there was no readable answer.
    """
    url = msgspec.structs.replace(origin.over("http"), path=f"/api/auth/{what}", query=None, userinfo="")
    headers = {"Content-Type": "application/json"}
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    http = HttpClient(None, ssl, sending=sending)
    try:
        response, _ = await http.start(
            "POST",
            url,
            headers,
            content=msgspec.json.encode(body),
            read_timeout=ANSWER_TIMEOUT,
            follow=False,
        )
        data = await http.read(response, MAX_ANSWER_BYTES)
    except (httpx.HTTPError, MessageError) as error:
        raise ConnectFailed(f"the answer of {url.address} was lost: {loss(error)}") from error
    finally:
        await http.close()
    status, kind = response.status_code, response.headers.get("content-type", "")
    if status == 200 and not is_web_page(kind):
        try:
            return fields_of(parse_json(data))
        except MessageError:
            return {}
    text = reason_in(data, kind)
    reason = f"{url.address} answered HTTP {status}{f' ({text})' if text else ''}"
    if 300 <= status < 400:
        reason = f"{reason}, a redirect, which a request with secrets does not follow"
    elif status == 200:
        reason = f"{reason} and a web page: something on the way answered, not the server"
    raise ConnectFailed(
        reason,
        retryable=status in TEMPORARY_REDIRECTS or may_retry(status, kind),
        status=status,
        retry_after=hint_of(response),
        code=code_in(data),
    )
