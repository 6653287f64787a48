"""The SCTP chunks in a data channel's encrypted packets, as the endpoint in this process logs them.

An observer on the path sees only lengths. aiortc logs every chunk (RFC 9260 §3.3) that it sends and
receives, if its SCTP logger is at DEBUG when the connection is made; `SctpChunks` keeps these chunks.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Self

__all__ = ["SctpChunk", "SctpChunks"]

_LOGGER: Final = logging.getLogger("aiortc.rtcsctptransport")
_CHUNK: Final = re.compile(r"RTCSctpTransport\(\w+\) (?P<way>[<>]) (?P<kind>\w+)Chunk\((?P<fields>.*)\)")
_GAPS: Final = re.compile(r"\((\d+), (\d+)\)")

_NAMES: Final = {
    "Init": "INIT",
    "InitAck": "INIT ACK",
    "CookieEcho": "COOKIE ECHO",
    "CookieAck": "COOKIE ACK",
    "Data": "DATA",
    "Sack": "SACK",
    "ForwardTsn": "FORWARD-TSN",
    "Heartbeat": "HEARTBEAT",
    "HeartbeatAck": "HEARTBEAT ACK",
    "Abort": "ABORT",
    "Reconfig": "RE-CONFIG",
}


class SctpChunk(NamedTuple):
    """One SCTP chunk.

    Parameters
    ----------
    at : float
        Monotonic seconds when this end sent or received it.
    sent : bool
        Whether this end sent it.
    kind : str
        The chunk type as RFC 9260 spells it: ``"DATA"``, ``"SACK"``, ``"FORWARD-TSN"``.
    tsn : int or None
        DATA: its transmission sequence number. SACK and FORWARD-TSN: the cumulative TSN, up to
        which the receiver expects nothing more. None if the chunk has neither.
    gaps : tuple of (int, int)
        SACK: its gap ack blocks, each the first and last TSN received beyond a gap, as offsets
        from `tsn`. Empty for other chunks.
    """

    at: float
    sent: bool
    kind: str
    tsn: int | None = None
    gaps: tuple[tuple[int, int], ...] = ()


class SctpChunks:
    """Keeps the chunks of all data channels that are made inside its ``with`` block.

    Parameters
    ----------
    clock : callable
        Returns monotonic seconds.

    Examples
    --------
    >>> async def kinds(url: str) -> list[str]:
    ...     with SctpChunks() as chunks:
    ...         async with WebRTCChannel(url):
    ...             return [chunk.kind for chunk in chunks.seen]
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seen: list[SctpChunk] = []
        self._clock = clock
        self._handler = _Handler(self._log)
        self._before = (_LOGGER.level, _LOGGER.propagate)

    def __enter__(self) -> Self:
        self._before = (_LOGGER.level, _LOGGER.propagate)
        _LOGGER.addHandler(self._handler)
        _LOGGER.setLevel(logging.DEBUG)
        _LOGGER.propagate = False  # a root logger at DEBUG would print it all
        return self

    def __exit__(self, *exc_info: object) -> None:
        _LOGGER.removeHandler(self._handler)
        _LOGGER.setLevel(self._before[0])
        _LOGGER.propagate = self._before[1]

    def _log(self, text: str) -> None:
        match = _CHUNK.fullmatch(text)
        if match is None:
            return  # a log line about a timer or a state
        tsn = re.search(r"tsn=(\d+)", match["fields"])
        gaps = tuple((int(first), int(last)) for first, last in _GAPS.findall(match["fields"]))
        kind = _NAMES.get(match["kind"], match["kind"].upper())
        self.seen.append(
            SctpChunk(
                self._clock(),
                match["way"] == ">",
                kind,
                int(tsn[1]) if tsn else None,
                gaps if kind == "SACK" else (),
            )
        )


class _Handler(logging.Handler):
    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__(logging.DEBUG)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(record.getMessage())
