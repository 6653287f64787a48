"""HTTP requests and their responses, parsed from the bytes that passed a tap."""

from __future__ import annotations

import math
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np

from rtlab.capture.tcp_tap import TappedConnection
from rtlab.errors import MessageError
from rtlab.protocol.http1_message_parser import Head, NotHttp, parse_head, take_body
from rtlab.protocol.json_and_messagepack_codecs import JSON, parse_json
from rtlab.protocol.message_format import Message

__all__ = ["Exchange", "exchanges"]


class Exchange(NamedTuple):
    """One request and its response, as they passed a tap.

    Parameters
    ----------
    path : str
        Path of the request, without the query.
    query : dict
        Parameters of the query; the last value of a name that occurs more than once.
    asked, answered : float
        Monotonic seconds when the last byte of the request and the first byte of the response passed.
    status : int
        Status code of the response.
    body : bytes
        Body of the response.
    """

    path: str
    query: dict[str, str]
    asked: float
    answered: float
    status: int
    body: bytes

    @property
    def messages(self) -> list[Message]:
        """The messages in a long poll's response; none for any other exchange."""
        if self.path != "/poll" or self.status != 200 or not self.body:
            return []
        return [JSON.decode(bytes(raw)) for raw in parse_json(self.body, _PollBody).messages]


class _PollBody(msgspec.Struct):
    messages: list[msgspec.Raw]


def exchanges(connection: TappedConnection) -> list[Exchange]:
    """Pair a tapped connection's requests with their responses.

    Parameters
    ----------
    connection : TappedConnection
        A connection that carried HTTP/1.1; what follows an upgrade is not read.

    Returns
    -------
    list of Exchange
        In order; only exchanges whose response is complete. A response's status is its final one:
        interim ones (RFC 9110 §15.2) are passed over.

    Raises
    ------
    MessageError
        If the bytes are not HTTP/1.x, such as those of a connection with TLS.

    Examples
    --------
    >>> def statuses(connection: TappedConnection) -> list[int]:
    ...     return [exchange.status for exchange in exchanges(connection)]
    """
    try:
        return _pairs(_Side(connection, up=True), _Side(connection, up=False))
    except NotHttp as error:
        raise MessageError(f"expected HTTP/1.x, got {error}") from None


def _pairs(up: _Side, down: _Side) -> list[Exchange]:
    found: list[Exchange] = []
    while (request := up.next()) is not None:
        answer = down.next(no_body=request.head.method == b"HEAD")
        while answer is not None and answer.head.status < 200 and answer.head.status != 101:
            answer = down.next(no_body=request.head.method == b"HEAD")
        if answer is None:
            break
        status = answer.head.status
        path, query = _target(request.head.path.decode("latin-1"))
        found.append(Exchange(path, query, request.ended, answer.began, status, answer.body))
        if status == 101:  # from here on, it is not HTTP/1.1
            break
    return found


def _target(target: str) -> tuple[str, dict[str, str]]:
    """Return the path and the query of a request's target (RFC 9112 §3.2)."""
    if target.startswith("/"):  # the usual form: here `//` begins no host
        path, _, query = target.partition("?")
    else:
        try:
            _, _, path, query, _ = urlsplit(target)
        except ValueError as error:
            raise MessageError(f"expected the target of a request, got {target!r:.80}: {error}") from None
    return path, dict(parse_qsl(query))


class _Part(NamedTuple):
    head: Head
    body: bytes
    began: float
    ended: float


class _Side:
    """One direction of a connection, parsed one HTTP message at a time."""

    def __init__(self, connection: TappedConnection, *, up: bool) -> None:
        chunks = [(at, size) for at, direction, size in connection.chunks if direction is up]
        self._response = not up
        self._data = bytes(connection.up if up else connection.down)
        self._times = [at for at, _ in chunks]
        self._passed = np.cumsum([size for _, size in chunks])
        self._at = 0

    def next(self, *, no_body: bool = False) -> _Part | None:
        head = parse_head(self._data, self._at, response=self._response)
        if head is None:
            return None
        began = self._at
        body, self._at, whole = take_body(self._data, began + head.size, head, no_body=no_body)
        return _Part(head, body, self._when(began), self._when(self._at - 1)) if whole else None

    def _when(self, byte: int) -> float:
        """Return the monotonic seconds when the byte at this offset passed.

        The tap keeps the times of a limited number of portions: of a later one only this is known,
        that it did not pass before the last of them. Without any, NaN.
        """
        at = int(np.searchsorted(self._passed, byte, side="right"))
        return self._times[min(at, len(self._times) - 1)] if self._times else math.nan
