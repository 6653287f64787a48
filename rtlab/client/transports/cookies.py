"""Cookies of one connection, by origin: a balancer's cookie leads reconnects to the same server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import httpx

from rtlab.protocol.urls import Origin, Url

__all__ = ["CookieStore"]

T = TypeVar("T")

#: Origins that a chain of redirects may leave cookies of.
MAX_ORIGINS: Final = 16


class CookieStore:
    """Keeps what servers set, and gives each back to its own origin alone.

    RFC 6265 §8.5 lets all ports of a host share cookies; here another port is another server,
    as for every other credential. Paths, expiry and ``Secure`` are the standard library's work.

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
        """Keep the ``Set-Cookie`` fields of an answer.

        Parameters
        ----------
        url : Url
            Who answered.
        fields : iterable of str
            Their values.
        """
        # What is no printable ASCII could not be sent back.
        headers = [("set-cookie", field) for field in fields if field.isascii() and field.isprintable()]
        if not headers:
            return
        jar = self._jars.setdefault(url.origin, httpx.Cookies())
        while len(self._jars) > MAX_ORIGINS:
            del self._jars[next(iter(self._jars))]
        jar.extract_cookies(httpx.Response(200, headers=headers, request=_request(url)))

    def header(self, url: Url, own: str = "") -> str:
        """Return the ``Cookie`` field of a request; empty for none.

        Parameters
        ----------
        url : Url
            Where it goes.
        own : str
            The caller's cookies; one that the server has set anew gives way.
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
        """Return a request's headers, the caller's ``Cookie`` field joined with what is kept for the URL."""
        own = [str(text) for name, text in headers.items() if name.lower() == "cookie"]
        cookie = self.header(url, "; ".join(own))
        others: dict[str, T | str] = {n: text for n, text in headers.items() if n.lower() != "cookie"}
        return {**others, "Cookie": cookie} if cookie else others


def _request(url: Url) -> httpx.Request:
    return httpx.Request("GET", str(url.over("http")))
