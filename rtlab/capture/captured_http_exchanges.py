"""HTTP requests and their responses, parsed from the bytes that passed a tap."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np

from rtlab.capture.tcp_tap import TappedConnection
from rtlab.protocol.http1_message_parser import Head, parse_head, take_body
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
        if self.path != "/poll" or self.status != 200:
            return []
        return [JSON.decode(bytes(raw)) for raw in parse_json(self.body, _PollBody).messages]


class _PollBody(msgspec.Struct):
    messages: list[msgspec.Raw]


def exchanges(connection: TappedConnection) -> list[Exchange]:
    """Pair a tapped connection's requests with their responses.

    Parameters
    ----------
    connection : TappedConnection
        A connection that carried HTTP/1.1.

    Returns
    -------
    list of Exchange
        In order; only exchanges whose response is complete.

    Examples
    --------
    >>> def statuses(connection: TappedConnection) -> list[int]:
    ...     return [exchange.status for exchange in exchanges(connection)]
    """
    found: list[Exchange] = []
    sides = _Side(connection, up=True), _Side(connection, up=False)
    while (request := sides[0].next()) is not None and (answer := sides[1].next()) is not None:
        target = urlsplit(request.head.path.decode("latin-1"))
        found.append(
            Exchange(
                target.path,
                dict(parse_qsl(target.query)),
                request.ended,
                answer.began,
                answer.head.status,
                answer.body,
            )
        )
    return found


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

    def next(self) -> _Part | None:
        head = parse_head(self._data, self._at, response=self._response)
        if head is None:
            return None
        began = self._at
        body, self._at, whole = take_body(self._data, began + head.size, head)
        return _Part(head, body, self._when(began), self._when(self._at - 1)) if whole else None

    def _when(self, byte: int) -> float:
        """Return the monotonic seconds when the byte at this offset passed."""
        return self._times[int(np.searchsorted(self._passed, byte, side="right"))]
