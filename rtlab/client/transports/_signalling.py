"""The offering half of WebRTC signalling: one POST with our offer, answered by the server's."""

from __future__ import annotations

import ssl as ssl_module
import time
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec

from rtlab.errors import ConnectFailed
from rtlab.protocol.http_status import retry_after
from rtlab.protocol.resume import Resume

__all__ = ["offer_url", "post_offer"]

_WORTH_RETRYING: Final = frozenset({408, 425, 429})


class _Answer(msgspec.Struct):
    sdp: str
    type: Literal["answer"]


def offer_url(url: str) -> str:
    """Return where the offer goes: ``/rtc/offer``, unless the URL names a path.

    Parameters
    ----------
    url : str
        The server.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        For anything but http and https.

    Examples
    --------
    >>> offer_url("http://127.0.0.1:8000")
    'http://127.0.0.1:8000/rtc/offer'
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname)
        parts.port  # noqa: B018 - raises on a port that is no number
    except ValueError as error:
        raise ValueError(f"expected a URL like http://host:port, got {url!r}") from error
    if not known:
        raise ValueError(f"expected a URL that starts with http:// or https://, got {url!r}")
    path = parts.path if parts.path not in ("", "/") else "/rtc/offer"
    return urlunsplit(parts._replace(path=path))


async def post_offer(
    url: str,
    sdp: str,
    resume: Resume,
    *,
    headers: Mapping[str, str],
    ssl: ssl_module.SSLContext | None,
) -> str:
    """Send the offer.

    Parameters
    ----------
    url : str
        Where to.
    sdp : str
        The offer.
    resume : Resume
        Travels in the URL, as on every transport.
    headers : mapping
        Added to the request.
    ssl : ssl.SSLContext or None
        For https; None is the system's trust.

    Returns
    -------
    str
        The answer's SDP.

    Raises
    ------
    ConnectFailed
        It says what to look at next; the cause is chained.
    """
    host = urlsplit(url).netloc
    # Building a TLS context reads the system's certificates (10 ms and more): not for http.
    verify = ssl if ssl is not None else url.startswith("https:")
    try:
        async with httpx.AsyncClient(trust_env=False, verify=verify, timeout=None) as http:
            response = await http.post(
                url, params=resume.query(), json={"sdp": sdp, "type": "offer"}, headers=headers
            )
    except httpx.ConnectError as error:
        raise ConnectFailed(f"nothing answers at {host} ({error}): is the server running?") from error
    except httpx.HTTPError as error:
        raise ConnectFailed(f"the signalling request to {host} failed: {error!r}") from error
    if response.status_code != 200:
        raise ConnectFailed(
            f"the server at {host} answered the offer with HTTP {response.status_code}: "
            f"{response.text.strip()[:200] or 'no reason given'}",
            retryable=response.status_code in _WORTH_RETRYING or response.status_code >= 500,
            status=response.status_code,
            retry_after=retry_after(
                response.headers.get("Retry-After", ""),
                response.headers.get("Date", ""),
                now=time.time(),
            ),
        )
    try:
        answer = msgspec.json.decode(response.content, type=_Answer)
    except msgspec.DecodeError as error:
        raise ConnectFailed(
            f"{host} does not speak rtlab's signalling: expected a JSON object with sdp and type, {error}",
            retryable=False,
        ) from error
    return answer.sdp
