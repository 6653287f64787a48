"""What a transport asks for when it opens: how to prove who it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from rtlab.protocol.urls import Url

__all__ = ["NOTHING", "Credentials", "Proof"]


class Proof(NamedTuple):
    """What is added to one request.

    Parameters
    ----------
    query : mapping
        To its URL.
    headers : mapping
        To its headers.
    """

    query: Mapping[str, str]
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Proof(query: {', '.join(self.query)}; headers: {', '.join(self.headers)})"


NOTHING: Final = Proof({}, {})


class Credentials(Protocol):
    """Proves who a client is, to one origin and to no other."""

    async def opening(self, url: Url) -> Proof:
        """Return the proof for a request that cannot be relied on to have headers: a WebSocket's.

        Raises `ConnectFailed`, not retryable when another attempt would be refused as well.
        """
        ...

    async def request(self, url: Url) -> Proof:
        """Return the proof for any other request, as `opening`."""
        ...
