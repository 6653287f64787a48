"""Cookies of one connection, by origin: a load balancer's cookie leads reconnects to the same server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import httpx

from rtlab.protocol.urls import Origin, Url

__all__ = ["CookieStore"]

T = TypeVar("T")

#: The most origins, such as those of a chain of redirects, whose cookies are kept.
MAX_ORIGINS: Final = 16


class CookieStore:
    """Keeps the cookies that servers set, and sends each only to the origin that set it.

    RFC 6265 §8.5 lets all ports of a host share cookies; here a different port is a different
    server, as for every other credential. The standard library handles paths, expiry and ``Secure``.

    Examples
    --------
    >>> from rtlab.protocol.urls import parse_url
    >>> store = CookieStore()
    >>> store.take(parse_url("http://h/sse"), ["node=a; Path=/"])
    >>> store.header(parse_url("http://h/send")), store.header(parse_url("http://h:81/send"))
    ('node=a', '')
    """

    def __init__(self) -> None:
        self._jars: dict[Origin, httpx.Cookies] = {}

    def take(self, url: Url, fields: Iterable[str]) -> None:
        """Store the ``Set-Cookie`` fields of an answer.

        Parameters
        ----------
        url : Url
            The URL that answered.
        fields : iterable of str
            The values of the fields.
        """
        # Values that are not printable ASCII could not be sent back.
        headers = [("set-cookie", field) for field in fields if field.isascii() and field.isprintable()]
        if not headers:
            return
        jar = self._jars.setdefault(url.origin, httpx.Cookies())
        while len(self._jars) > MAX_ORIGINS:
            del self._jars[next(iter(self._jars))]
        jar.extract_cookies(httpx.Response(200, headers=headers, request=_request(url)))

    def header(self, url: Url, own: str = "") -> str:
        """Return the value of a request's ``Cookie`` field; empty for no cookies.

        Parameters
        ----------
        url : Url
            The URL of the request.
        own : str
            The caller's own cookies; a cookie of the same name that the server has set replaces them.
        """
        jar = self._jars.get(url.origin)
        if jar is None:
            return own
        request = _request(url)
        jar.set_cookie_header(request)
        kept = request.headers.get("cookie", "")
        names = {pair.partition("=")[0].strip() for pair in kept.split(";")}
        others = [pair.strip() for pair in own.split(";") if pair.partition("=")[0].strip() not in names]
        return "; ".join(filter(None, [*others, kept]))

    def added_to(self, headers: Mapping[str, T], url: Url) -> dict[str, T | str]:
        """Return a request's headers; their ``Cookie`` field has the caller's and the stored cookies."""
        own = [str(text) for name, text in headers.items() if name.lower() == "cookie"]
        cookie = self.header(url, "; ".join(own))
        others: dict[str, T | str] = {n: text for n, text in headers.items() if n.lower() != "cookie"}
        return {**others, "Cookie": cookie} if cookie else others


def _request(url: Url) -> httpx.Request:
    return httpx.Request("GET", str(url.over("http")))
