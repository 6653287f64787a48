"""Rules for ``Origin`` (RFC 6454) and ``Host``: which are valid, which may connect, which are our own."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from rtlab.protocol.urls import shown

__all__ = ["as_browsers_write", "host_allowed", "is_loopback", "is_origin", "origin_allowed"]

#: A scheme and an authority, without user, path, query or spaces (RFC 6454 §6.2).
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[!-~]{1,200}")


def host_allowed(host: str, allowed: frozenset[str]) -> bool:
    """Return whether a request's ``Host`` is a name of this server.

    If an attacker lets a domain name resolve to this machine (DNS rebinding), the browser takes the
    attacker's page and this server for the same origin. The page's GET then has no ``Origin``, and
    only ``Host`` reveals the attacker's name.

    Parameters
    ----------
    host : str
        The request's ``Host``.
    allowed : frozenset of str
        The configured origins, whose hosts count as names of this server, too.

    Examples
    --------
    >>> host_allowed("127.0.0.1:80", frozenset()), host_allowed("evil.example:80", frozenset())
    (True, False)
    """
    try:
        name = urlsplit(f"//{host}").hostname
        return (
            name is not None
            and "@" not in host
            and (_is_address(name) or name in {urlsplit(origin).hostname for origin in allowed})
        )
    except ValueError:
        return False


def origin_allowed(origin: str, host: str, allowed: frozenset[str], scheme: str = "http") -> bool:
    """Return whether a page of an origin may connect to the server.

    Parameters
    ----------
    origin : str
        The request's ``Origin``.
    host : str
        The request's ``Host``.
    allowed : frozenset of str
        Other origins that were configured; they are compared as whole strings.
    scheme : {"http", "https"}
        The scheme of the server itself.

    Returns
    -------
    bool
        A page of the server's own origin is allowed only under an IP address or
        ``localhost``: any other name could result from DNS rebinding.

    Examples
    --------
    >>> origin_allowed("http://127.0.0.1:80", "127.0.0.1:80", frozenset())
    True
    >>> origin_allowed("http://evil.example:80", "evil.example:80", frozenset())
    False
    """
    if origin in allowed:
        return True
    try:
        page, server = urlsplit(origin), urlsplit(f"//{host}")
        name, port = page.hostname, page.port
        server_name, server_port = server.hostname, server.port
    except ValueError:
        return False
    if origin != f"{page.scheme}://{page.netloc}" or "@" in page.netloc:
        return False  # an origin has no user, no path and no query (RFC 6454 §6.1)
    if page.scheme != scheme or name is None or name != server_name:
        return False
    default = 443 if scheme == "https" else 80
    return (port or default) == (server_port or default) and _is_address(name)


def _is_address(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Return whether a host is a loopback address or ``localhost``; any other name is not.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("example.org")
    (True, True, False)
    """
    return _is_address(name) and (name == "localhost" or ipaddress.ip_address(name).is_loopback)


def is_origin(text: str) -> bool:
    """Return whether a text is the origin of a single site.

    ``null`` is not: it is the origin of every sandboxed page of any site.

    Examples
    --------
    >>> is_origin("http://localhost:8888"), is_origin("null"), is_origin("http://a/b")
    (True, False, False)
    """
    return _ORIGIN.fullmatch(text) is not None and not set(text.partition("://")[2]) & set("/?#@*\\,")


def as_browsers_write(text: str) -> str:
    """Return a configured origin in the form in which browsers send it (RFC 6454 §6.2).

    Origins are compared as whole strings, so capitals, a default port or a final slash would never match.

    Raises
    ------
    ValueError
        The text is not the origin of a single site; ``null`` and ``*`` are not.

    Examples
    --------
    >>> as_browsers_write("HTTPS://Chat.Example:443/")
    'https://chat.example'
    """
    wrong = ValueError(
        f"expected an origin such as 'https://chat.example' or 'http://localhost:8888', got {shown(text)}"
    )
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    scheme = parts.scheme
    if name is not None and not name.isascii():
        import idna  # imported only here: such names are rare, and loading the tables takes time

        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError:
            raise wrong from None
    if name is None or text.partition("://")[2].rstrip("/").casefold() != parts.netloc.casefold():
        raise wrong
    host = f"[{name}]" if ":" in name else name
    default = {"http": 80, "https": 443}.get(scheme)
    origin = f"{scheme}://{host}" + ("" if port in (None, default) else f":{port}")
    if not is_origin(origin) or "@" in parts.netloc:
        raise wrong
    return origin
