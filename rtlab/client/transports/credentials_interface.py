"""The interface by which a transport gets the proof of the client's identity for each request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from rtlab.protocol.urls import Url

__all__ = ["NOTHING", "Credentials", "Proof"]


class Proof(NamedTuple):
    """The proof of identity that is added to one request.

    Parameters
    ----------
    query : mapping
        Parameters to add to the URL's query.
    headers : mapping
        Header fields to add.
    """

    query: Mapping[str, str]
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Proof(query: {', '.join(self.query)}; headers: {', '.join(self.headers)})"


NOTHING: Final = Proof({}, {})


class Credentials(Protocol):
    """Proves a client's identity to one origin, and to no other origin."""

    async def opening(self, url: Url) -> Proof:
        """Return the proof for a WebSocket's opening handshake, to which a browser cannot add headers.

        Raises `ConnectFailed`; it is not retryable if another attempt would be refused as well.
        """
        ...

    async def request(self, url: Url) -> Proof:
        """Return the proof for any other request; raises as `opening` does."""
        ...
