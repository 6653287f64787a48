"""Size of a request's or response's head in HTTP/2, which compresses heads with HPACK (RFC 7541)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hpack import Encoder

__all__ = ["FRAME_HEADER_BYTES", "http2_head_bytes", "with_body_of", "with_cookies"]

#: Size of an HTTP/2 frame header (RFC 9113 section 4.1).
FRAME_HEADER_BYTES: Final = 9

#: Connection-specific header fields, which HTTP/2 forbids (RFC 9113 section 8.2.2).
_OF_THE_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)


def with_cookies(head: str, *cookies: str) -> str:
    """Return a request's head with a ``Cookie`` line as its last header, where browsers put it.

    Parameters
    ----------
    head : str
        Request head in HTTP/1.1 form, with the empty line that ends it.
    *cookies : str
        ``"name=value"`` each; without any, the head is returned unchanged.

    Examples
    --------
    >>> with_cookies("GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", "a=1", "b=2").split("\\r\\n")[2]
    'Cookie: a=1; b=2'
    """
    return f"{head[:-2]}Cookie: {'; '.join(cookies)}\r\n\r\n" if cookies else head


def with_body_of(head: str, size: int) -> str:
    """Return a request's head with its ``Content-Length`` set to `size`.

    Parameters
    ----------
    head : str
        Request head in HTTP/1.1 form; one without ``Content-Length`` is returned unchanged.
    size : int
        Bytes of the body, 0 or more.

    Examples
    --------
    >>> with_body_of("POST / HTTP/1.1\\r\\nContent-Length: 98\\r\\n\\r\\n", 126).split("\\r\\n")[1]
    'Content-Length: 126'
    """
    return re.sub(r"(?im)^(content-length: *)\d+", rf"\g<1>{size}", head)


def http2_head_bytes(heads: Sequence[str], *, scheme: str = "https") -> list[int]:
    """Return the sizes of successive heads in one direction of an HTTP/2 connection.

    A field that was sent before is encoded as an index of one or two bytes into a table that both
    endpoints keep (RFC 7541 section 2.3.2), so later heads are much smaller than the first.
    Cookies are compressed one by one (RFC 9113 section 8.2.3).

    Parameters
    ----------
    heads : sequence of str
        Heads of requests or of responses, in HTTP/1.1 form.
    scheme : str
        URL scheme of the requests.

    Returns
    -------
    list of int
        Bytes of each head's HEADERS frame.

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
