"""What the head of a request or a response weighs in HTTP/2, which compresses it by HPACK (RFC 7541)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hpack import Encoder

__all__ = ["FRAME_HEADER_BYTES", "http2_head_bytes", "with_body_of", "with_cookies"]

#: The header of each HTTP/2 frame (RFC 9113 section 4.1).
FRAME_HEADER_BYTES: Final = 9

#: Fields of the connection, which HTTP/2 has no use for (RFC 9113 section 8.2.2).
_OF_THE_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)


def with_cookies(head: str, *cookies: str) -> str:
    """Return a request's head with cookies, where a browser puts them: at its end.

    Parameters
    ----------
    head : str
        With the empty line that ends it.
    *cookies : str
        ``"name=value"`` each; none leaves the head as it is.

    Examples
    --------
    >>> with_cookies("GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", "a=1", "b=2").split("\\r\\n")[2]
    'Cookie: a=1; b=2'
    """
    return f"{head[:-2]}Cookie: {'; '.join(cookies)}\r\n\r\n" if cookies else head


def with_body_of(head: str, size: int) -> str:
    """Return a request's head as it announces a body of `size` bytes.

    Parameters
    ----------
    head : str
        With a ``Content-Length``; without one it is returned as it is.
    size : int
        Bytes of the body, 0 or more.

    Examples
    --------
    >>> with_body_of("POST / HTTP/1.1\\r\\nContent-Length: 98\\r\\n\\r\\n", 126).split("\\r\\n")[1]
    'Content-Length: 126'
    """
    return re.sub(r"(?im)^(content-length: *)\d+", rf"\g<1>{size}", head)


def http2_head_bytes(heads: Sequence[str], *, scheme: str = "https") -> list[int]:
    """Return what heads weigh that follow each other in one direction of an HTTP/2 connection.

    A field that was sent before is an index of one or two bytes into a table that both
    ends keep (RFC 7541 section 2.3.2), so the second request's head costs little of the
    first's. Cookies are compressed one by one (RFC 9113 section 8.2.3).

    Parameters
    ----------
    heads : sequence of str
        Of requests, or of responses, as HTTP/1.1 would send them.
    scheme : str
        Of the requests' URL.

    Returns
    -------
    list of int
        Bytes of each one's HEADERS frame.

    Raises
    ------
    ValueError
        For a head without its empty line.

    Examples
    --------
    >>> http2_head_bytes(["GET / HTTP/1.1\\r\\nHost: a.example\\r\\nX-Id: 12\\r\\n\\r\\n"] * 3)
    [29, 14, 14]
    """
    encoder = Encoder()
    return [FRAME_HEADER_BYTES + len(encoder.encode(_fields(head, scheme))) for head in heads]


def _fields(head: str, scheme: str) -> list[tuple[str, str]]:
    if not head.endswith("\r\n\r\n"):
        raise ValueError(f"expected a head that ends with an empty line, got {head[-20:]!r}")
    start, *lines = head[:-4].split("\r\n")
    sent = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    host = next((value for name, value in sent if name == "host"), "")
    first, second, *_ = start.split(" ")
    if first.startswith("HTTP/"):
        fields = [(":status", second)]
    else:
        fields = [(":method", first), (":authority", host), (":scheme", scheme), (":path", second)]
    for name, value in sent:
        if name == "cookie":
            fields += [(name, crumb) for crumb in value.split("; ")]
        elif name != "host" and name not in _OF_THE_CONNECTION:
            fields.append((name, value))
    return fields
