"""The client's half of WebRTC signalling: one POST with the offer, whose response is the answer."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping
from typing import Final, Literal

import httpx
import msgspec

from rtlab.client.transports._http_client import HttpClient, loss, refused
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.credentials_interface import Credentials
from rtlab.errors import ConnectFailed, MessageError
from rtlab.protocol.http_headers import PROTOCOL_FIELD
from rtlab.protocol.http_status_and_retry_after import may_retry
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.resume_fields import Resume
from rtlab.protocol.transport_paths import ENDPOINTS
from rtlab.protocol.urls import Origin, parse_url

__all__ = ["post_offer"]

# Timeouts
ANSWER_TIMEOUT: Final = 60.0  # seconds; the connection's own deadline is shorter

# Limits
MAX_ANSWER_BYTES: Final = 1 << 20


class _Answer(msgspec.Struct):
    sdp: str
    type: Literal["answer"]


async def post_offer(
    url: str,
    sdp: str,
    resume: Resume,
    *,
    headers: Mapping[str, str] | None,
    ssl: ssl_module.SSLContext | None,
    cookies: CookieStore | None = None,
    auth: Credentials | None = None,
) -> tuple[str, Origin, bool]:
    """Send the offer to the server; return the answer, and the origin that answered.

    Parameters
    ----------
    url : str
        The server; without a path, ``/rtc/offer`` is used.
    sdp : str
        The SDP of the offer.
    resume : Resume
        The session to resume; it travels in the URL, as on every transport.
    headers : mapping or None
        Extra headers of the request.
    ssl : ssl.SSLContext or None
        The TLS settings for https; None uses the usual certificate authorities.
    cookies : CookieStore, optional
        The cookies, shared with the connection's other attempts.
    auth : Credentials, optional
        Proves to the server which user connects.

    Returns
    -------
    str, Origin, bool
        The SDP of the answer, the origin of the server that sent it, which redirects may have changed, and
        whether that is marked as an rtlab server.

    Raises
    ------
    ConnectFailed
        The request failed; the message names the next step, and ``__cause__`` is the cause.
    """
    given = parse_url(url, "http://host:port").over("http").at(f"/{ENDPOINTS['webrtc']}")
    asked = given.adding(**resume.query())
    offer = msgspec.json.encode({"sdp": sdp, "type": "offer"})
    http = HttpClient(headers, ssl, cookies, auth)
    try:
        answer = await http.start(
            "POST", asked, {"Content-Type": "application/json"}, content=offer, read_timeout=ANSWER_TIMEOUT
        )
        if answer.response.status_code != 200:
            raise await refused(answer)
        body = await http.read(answer.response, MAX_ANSWER_BYTES)
    except (httpx.HTTPError, MessageError) as error:
        raise ConnectFailed(f"the answer of {asked.netloc} was lost: {loss(error)}") from error
    finally:
        await http.close()
    try:
        return parse_json(body, _Answer).sdp, answer.url.origin, PROTOCOL_FIELD in answer.response.headers
    except MessageError as error:
        kind = answer.response.headers.get("content-type", "")
        raise ConnectFailed(
            f"{asked.netloc} does not speak rtlab's signalling: expected a JSON object with sdp and type: "
            f"{error}",
            retryable=may_retry(200, kind),
            status=200,
        ) from error
