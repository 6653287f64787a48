"""HTTP requests and their answers, read from the bytes that passed a tap."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec
import numpy as np

from rtlab.capture.tcp_tap import TappedConnection
from rtlab.protocol.codecs import JSON
from rtlab.protocol.messages import Message

__all__ = ["Exchange", "exchanges"]


class Exchange(NamedTuple):
    """One request and its answer, as they passed a tap.

    Parameters
    ----------
    path : str
        Without the query.
    query : dict
        Its last values.
    asked, answered : float
        When the request was whole, and when its answer began; monotonic seconds.
    status : int
        The answer's.
    body : bytes
        The answer's.
    """

    path: str
    query: dict[str, str]
    asked: float
    answered: float
    status: int
    body: bytes

    @property
    def messages(self) -> list[Message]:
        """What a poll's answer carries; nothing for any other."""
        if self.path != "/poll" or self.status != 200:
            return []
        return [JSON.decode(bytes(raw)) for raw in _poll_body(self.body).messages]


class _PollBody(msgspec.Struct):
    messages: list[msgspec.Raw]


_poll_body: Final = msgspec.json.Decoder(_PollBody).decode


def exchanges(connection: TappedConnection) -> list[Exchange]:
    """Pair a tapped connection's requests with their answers.

    Parameters
    ----------
    connection : TappedConnection
        HTTP/1.1, with a ``Content-Length`` for each body.

    Returns
    -------
    list of Exchange
        In order; only those whose answer is complete.

    Examples
    --------
    >>> def statuses(connection: TappedConnection) -> list[int]:
    ...     return [exchange.status for exchange in exchanges(connection)]
    """
    found: list[Exchange] = []
    sides = _Side(connection, up=True), _Side(connection, up=False)
    while (request := sides[0].next()) is not None and (answer := sides[1].next()) is not None:
        target = urlsplit(request.start_line[1])
        found.append(
            Exchange(
                target.path,
                dict(parse_qsl(target.query)),
                request.ended,
                answer.began,
                int(answer.start_line[1]),
                answer.body,
            )
        )
    return found


class _Part(NamedTuple):
    start_line: list[str]
    body: bytes
    began: float
    ended: float


class _Side:
    """One direction of a connection, read message by message."""

    def __init__(self, connection: TappedConnection, *, up: bool) -> None:
        chunks = [(at, size) for at, direction, size in connection.chunks if direction is up]
        self._data = bytes(connection.up if up else connection.down)
        self._times = [at for at, _ in chunks]
        self._passed = np.cumsum([size for _, size in chunks])
        self._at = 0

    def next(self) -> _Part | None:
        head_end = self._data.find(b"\r\n\r\n", self._at)
        if head_end < 0:
            return None
        start_line, *fields = self._data[self._at : head_end].decode("latin-1").split("\r\n")
        pairs = (field.partition(":") for field in fields)
        length = sum(int(text) for name, _, text in pairs if name.lower() == "content-length")
        began, body_at = self._at, head_end + 4
        self._at = body_at + length
        if self._at > len(self._data):
            return None
        body = self._data[body_at : self._at]
        return _Part(start_line.split(" "), body, self._when(began), self._when(self._at - 1))

    def _when(self, byte: int) -> float:
        """Return when this byte passed."""
        return self._times[int(np.searchsorted(self._passed, byte, side="right"))]
