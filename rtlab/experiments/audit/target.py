"""The server that is audited: one request at a time, and whether it is this machine's."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Mapping

import msgspec

from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.raw_websocket_frames import Fields, new_key, request_head, upgrade_fields
from rtlab.experiments.endpoint.timed_connection import Wire, dial
from rtlab.protocol.http1 import Head
from rtlab.protocol.origins import is_loopback
from rtlab.protocol.urls import Url

__all__ = ["Answer", "Target", "check_is_ours"]


class Answer(msgspec.Struct, frozen=True):
    """An answer as far as it was read; status 0 stands for none.

    Parameters
    ----------
    status : int
        Of HTTP.
    head : Head or None
        With its fields.
    body : bytes
        Its beginning.
    """

    status: int
    head: Head | None
    body: bytes = b""

    def field(self, name: str) -> str:
        """Return a field's value, empty if there is none."""
        return "" if self.head is None else self.head.get(name.encode()).decode("latin-1")

    def __str__(self) -> str:
        return f"HTTP {self.status}" if self.status else "no answer"


class Target(msgspec.Struct, frozen=True):
    """A server under audit.

    Parameters
    ----------
    url : Url
        Its WebSocket.
    ssl : ssl.SSLContext, optional
        Whom to trust.
    timeout : float
        Seconds for each answer.
    slow : float
        Seconds that an unfinished handshake may stand.
    fields : mapping
        What each request carries: somebody's credentials, or nothing.
    """

    url: Url
    ssl: ssl_module.SSLContext | None
    timeout: float
    slow: float
    fields: Mapping[str, str]

    async def dial(self) -> Wire:
        """Open a connection."""
        return await dial(self.url, ssl=self.ssl, timeout=self.timeout)

    async def handshake(self, changed: Fields, **query: str) -> Answer:
        """Ask for a WebSocket, with some fields changed; return the answer, whatever it is."""
        fields = {**upgrade_fields(new_key()), **self.fields, **changed}
        return await self.ask(request_head(self.url.adding(**query), fields))

    async def ask(self, request: bytes) -> Answer:
        """Send bytes; return the answer to them."""
        async with await self.dial() as wire:
            await wire.send(request)
            try:
                head = await wire.head()
            except ConnectFailed:
                return Answer(0, None)
            return Answer(head.status, head, b"" if head.status == 101 else await wire.body(head, 4096))


async def check_is_ours(url: Url) -> None:
    """Raise `ConnectFailed` unless every address of a URL's host is this machine's own."""
    _, host, port = url.origin
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
    except OSError:
        return  # whoever dials says what is wrong
    if not all(is_loopback(str(entry[4][0])) for entry in found):
        raise ConnectFailed(
            f"{host} is not this machine: an audit attacks. With its owner's leave: --elsewhere",
            retryable=False,
        )
