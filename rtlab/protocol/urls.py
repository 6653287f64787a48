"""Parses and checks a server's URL, alike for every transport, and shows it without secrets.

The parts of a URL stay text. To parse a query and write it again would change a signed value
(``?sig=a/b==``) or a name without a value (``?stream``), and a decoded path loses the difference
between ``%2F`` and ``/`` (RFC 3986 §2.2). Only characters that are not allowed in a request line
are percent-encoded (WHATWG URL, "percent-encode sets").
"""

from __future__ import annotations

import base64
import ipaddress
import re
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin

import idna
import msgspec

from rtlab.errors import ConnectFailed
from rtlab.protocol.redaction import redacted

__all__ = ["Origin", "Url", "parse_url", "shown"]

#: Scheme (``ws`` counts as ``http``), host and port. Credentials are sent within one origin only.
Origin = tuple[str, str, int]

_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_PLAIN: Final = {"ws": "http", "wss": "https"}
_SOCKET: Final = {"http": "ws", "https": "wss"}

#: The expression of RFC 3986 appendix B, with a stricter scheme.
_PARTS: Final = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.I | re.S)
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

# Characters that are not percent-encoded. "%" is one of them, so that nothing is encoded twice.
_PATH_SAFE: Final = "%/:@!$&'()*+,;=|[]"
_QUERY_SAFE: Final = _PATH_SAFE + "?{}^`\\"

#: The query fields that a connection itself adds.
_RESUME_FIELDS: Final = frozenset({"clientId", "session", "seq", "cursor", "welcome"})

_BEFORE_HOST: Final = re.compile(r"\A(\s*(?:[a-z][a-z0-9+.-]*:)?//)?.*@", re.I | re.S)


class Url(msgspec.Struct, frozen=True):
    """A parsed HTTP or WebSocket URL.

    Parameters
    ----------
    scheme : {"http", "https", "ws", "wss"}
        The scheme, in lower case.
    host : str
        The host in ASCII and lower case; an IPv6 address without its brackets.
    port : int or None
        The port; None for the scheme's default.
    path : str
        The percent-encoded path, empty or beginning with ``/``.
    query : str or None
        The percent-encoded query without its ``?``; None without a ``?``, which differs from empty.
    userinfo : str
        ``user:password`` as written in the URL. It is sent in a header (see `authorization`);
        `str` and `repr` omit it.

    Examples
    --------
    >>> url = parse_url("http://me:pw@example.org/a%2Fb?sig=a/b==&stream")
    >>> str(url)
    'http://example.org/a%2Fb?sig=a/b==&stream'
    >>> str(url.beside("send").adding(session="s1"))
    'http://example.org/send?sig=a/b==&stream&session=s1'
    """

    scheme: str
    host: str
    port: int | None = None
    path: str = ""
    query: str | None = None
    userinfo: str = ""

    def __str__(self) -> str:
        return self.address + ("" if self.query is None else f"?{self.query}")

    def __repr__(self) -> str:
        return f"<Url {redacted(str(self))}>"

    @property
    def netloc(self) -> str:
        """Host and port, for messages to people and for a ``Host`` field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def address(self) -> str:
        """The URL without its query, which is safe to show."""
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def with_userinfo(self) -> str:
        """The whole URL, with its password, to be passed on to a connection and never to be shown."""
        userinfo = f"{self.userinfo}@" if self.userinfo else ""
        return str(self).replace("://", f"://{userinfo}", 1)

    @property
    def origin(self) -> Origin:
        """The origin (RFC 6454 §4): credentials are sent to their own origin only."""
        return _PLAIN.get(self.scheme, self.scheme), self.host, self.port or _PORTS[self.scheme]

    @property
    def authorization(self) -> str | None:
        """The ``Basic`` credentials (RFC 7617) of a URL with a user in it; None for any other URL."""
        if not self.userinfo:
            return None
        user, _, password = self.userinfo.partition(":")
        pair = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
        return f"Basic {base64.b64encode(pair).decode()}"

    def over(self, family: Literal["http", "ws"]) -> Url:
        """Return the URL with its HTTP scheme or with its WebSocket scheme; TLS stays TLS."""
        scheme = (_PLAIN if family == "http" else _SOCKET).get(self.scheme, self.scheme)
        return msgspec.structs.replace(self, scheme=scheme)

    def at(self, path: str) -> Url:
        """Return the URL with `path`, unless it has a path already."""
        return self if self.path not in ("", "/") else msgspec.structs.replace(self, path=path)

    def beside(self, name: str) -> Url:
        """Return the URL with the last segment of its path replaced by `name`; the query stays."""
        return msgspec.structs.replace(self, path=f"{self.path.rpartition('/')[0]}/{name}")

    def above(self, name: str) -> Url:
        """Return the URL without the end `name` of its path; the query stays."""
        return msgspec.structs.replace(self, path=self.path.removesuffix(name))

    def below(self, name: str) -> Url:
        """Return the URL with the segment `name` added to its path; the query stays."""
        return msgspec.structs.replace(self, path=f"{self.path.rstrip('/')}/{name}")

    def adding(self, **fields: str | int | None) -> Url:
        """Return the URL with fields added to its query; fields that are None are left out.

        Earlier fields of the same names are replaced; the rest of the query does not
        change.
        """
        known = {name: str(value) for name, value in fields.items() if value is not None}
        if not known:
            return self
        kept = self._without(frozenset(known))
        added = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in known.items()]
        return msgspec.structs.replace(self, query="&".join([*kept, *added]))

    def unresumed(self) -> Url:
        """Return the URL without the query fields that a connection itself adds."""
        kept = self._without(_RESUME_FIELDS)
        return msgspec.structs.replace(self, query="&".join(kept) or None)

    def _without(self, names: frozenset[str]) -> list[str]:
        fields = [] if not self.query else self.query.split("&")
        return [field for field in fields if unquote(field.partition("=")[0]) not in names]

    def redirected(self, location: bytes) -> Url:
        """Return the target of a ``Location`` field, relative to this URL (RFC 9110 §10.2.2).

        Bytes beyond ASCII are most often UTF-8. Others are kept: percent-encoded in a path or query.

        Raises
        ------
        ConnectFailed
            The target is not a usable URL, or leads from TLS to plain text, which others can read.
        """
        text = location.decode("utf-8", "surrogateescape").strip().partition("#")[0]
        try:
            joined = urljoin(str(self), text)
        except ValueError:
            joined = text  # `parse_url` raises, and shows it
        if text.endswith("?") and text.count("?") == 1:  # an empty query, which `urljoin` drops
            joined = f"{joined.partition('?')[0]}?"
        target = parse_url(joined)
        if self.scheme in ("https", "wss") and target.scheme in ("http", "ws"):
            raise ConnectFailed(
                f"{self.netloc} redirects from TLS to none: give the final URL, if that is meant",
                retryable=False,
            )
        return target.over("ws") if self.scheme in _PLAIN else target


def parse_url(url: object, example: str = "http://host:port") -> Url:
    """Check a URL, and split it into its parts.

    Parameters
    ----------
    url : object
        A string with ``http://``, ``https://``, ``ws://`` or ``wss://`` and a host. A fragment is
        dropped, because it is never sent. Leading and trailing spaces are dropped, as in a browser.
    example : str
        A valid URL, for the error message.

    Returns
    -------
    Url

    Raises
    ------
    ConnectFailed
        The URL is invalid; not retryable. The message names the wrong part, and shows no secret.

    Examples
    --------
    >>> parse_url("ws://example.org:8000/live?room=a b").query
    'room=a%20b'
    >>> parse_url("http://example.org:70000")
    Traceback (most recent call last):
    rtlab.errors.ConnectFailed: expected a URL with a port from 1 to 65535, got '70000' in 'http://example.org:70000'
    """
    if not isinstance(url, str):
        raise _bad(f"expected a URL like {example}", url)
    return _parsed(url, example)


@lru_cache(maxsize=64)  # each attempt to connect parses its URL again
def _parsed(url: str, example: str) -> Url:
    match = _PARTS.fullmatch(url.strip())
    if match is None:
        raise _bad(f"expected a URL like {example}", url)
    scheme, authority, path, query = match[1].lower(), match[2], match[3], match[4]
    if scheme not in _PORTS:
        raise _bad("expected a URL that starts with http://, https://, ws:// or wss://", url)
    if _CONTROL.search(match[0]):
        raise _bad("expected a URL without control characters", url)
    userinfo, _, netloc = authority.rpartition("@")
    host, port = _split_port(netloc)

    def shown_part(part: str) -> str:
        """Show a part, unless an ``@`` behind it suggests that it begins an unencoded password."""
        return "***" if "@" in match[0][match.end(2) :] else f"{part!r:.80}"

    if port.strip("0123456789") or (port and not 0 < int(port[:9]) < 65536):
        raise ConnectFailed(
            f"expected a URL with a port from 1 to 65535, got {shown_part(port)} in {shown(url)}",
            retryable=False,
        )
    checked = _checked_host(host)
    if checked is None:
        raise ConnectFailed(
            f"expected a URL with a host name or an address, got {shown_part(host)} in {shown(url)}",
            retryable=False,
        )
    try:
        # Bytes of a header that are not valid text arrive as surrogates (PEP 383).
        sent_path = quote(path, safe=_PATH_SAFE, errors="surrogateescape")
        sent_query = None if query is None else quote(query, safe=_QUERY_SAFE, errors="surrogateescape")
    except UnicodeEncodeError as error:
        raise _bad("expected a URL of characters", url) from error
    return Url(scheme, checked, int(port) if port else None, _without_dots(sent_path), sent_query, userinfo)


def _split_port(netloc: str) -> tuple[str, str]:
    if netloc.startswith("["):
        host, bracket, rest = netloc.partition("]")
        return host + bracket, rest.removeprefix(":") if rest.startswith(":") else rest and f"x{rest}"
    host, _, port = netloc.partition(":")
    return host, port


def _checked_host(host: str) -> str | None:
    """Return the ASCII form of a host; None if it is not a valid name or address."""
    if host.startswith("["):
        if not host.endswith("]"):
            return None
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return None
        return host[1:-1].lower()
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError:  # idna's own exceptions are subclasses of it
        return None
    name = name.lower()
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return None
    if labels[-1].isdigit():  # it must be an IPv4 address (WHATWG URL, "ends in a number")
        return name if _is_ipv4(labels) else None
    return name


def _is_ipv4(parts: list[str]) -> bool:
    """Return whether parts are an IPv4 address; the last fills the missing ones, as in ``127.1``."""
    if len(parts) > 4 or not all(part.isdigit() and len(part) <= 10 for part in parts):
        return False
    *first, last = (int(part) for part in parts)
    return all(number < 256 for number in first) and last < 256 ** (5 - len(parts))


def _without_dots(path: str) -> str:
    """Remove ``.`` and ``..`` segments (RFC 3986 §5.2.4), as browsers and httpx do."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def shown(url: object) -> str:
    """Return the repr of what should be a URL, or contain one, without secrets.

    Parameters
    ----------
    url : object
        Anything that a caller gave. Everything before its last ``@`` may be a password.

    Examples
    --------
    >>> shown("ws://me:p@/w@h:x/"), shown("me:pw@h"), shown(8000)
    ("'ws://***@h:x/'", "'***@h'", '8000')
    """
    text = url if isinstance(url, str) else repr(url)
    masked = redacted(_BEFORE_HOST.sub(r"\1***@", text))
    return (repr(masked) if isinstance(url, str) else masked)[:200]


def _bad(expected: str, url: object) -> ConnectFailed:
    return ConnectFailed(f"{expected}, got {shown(url)}", retryable=False)
