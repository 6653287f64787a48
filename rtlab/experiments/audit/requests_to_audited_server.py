"""The server under audit: sends it one request at a time, and checks that it is on this machine."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Mapping

import msgspec

from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import (
    Fields,
    new_key,
    request_head,
    upgrade_fields,
)
from rtlab.experiments.endpoint.timed_connect_steps import Wire, dial
from rtlab.protocol.http1_message_parser import Head
from rtlab.protocol.origin_and_host_headers import is_loopback
from rtlab.protocol.urls import Url

__all__ = ["Target", "TargetResponse", "check_is_ours"]


class TargetResponse(msgspec.Struct, frozen=True):
    """The beginning of an HTTP answer; status 0 means that the server sent none.

    Parameters
    ----------
    status : int
        HTTP status.
    head : Head or None
        The head with its header fields; None if there was no answer.
    body : bytes
        The first bytes of the body.
    """

    status: int
    head: Head | None
    body: bytes = b""

    def field(self, name: str) -> str:
        """Return a header field's value; empty if there is no such field."""
        return "" if self.head is None else self.head.get(name.encode()).decode("latin-1")

    def __str__(self) -> str:
        return f"HTTP {self.status}" if self.status else "no answer"


class Target(msgspec.Struct, frozen=True):
    """A server under audit.

    Parameters
    ----------
    url : Url
        URL of its WebSocket.
    ssl : ssl.SSLContext, optional
        TLS context with the trusted authorities. None trusts the system's.
    timeout : float
        Timeout in seconds for each answer.
    slow : float
        Seconds within which the server should close a connection whose handshake never finishes.
    fields : mapping
        Header fields of each request, such as credentials; may be empty.
    """

    url: Url
    ssl: ssl_module.SSLContext | None
    timeout: float
    slow: float
    fields: Mapping[str, str]

    async def dial(self) -> Wire:
        """Open a connection."""
        return await dial(self.url, ssl=self.ssl, timeout=self.timeout)

    async def handshake(self, changed: Fields, **query: str) -> TargetResponse:
        """Send a WebSocket handshake with some fields changed; return the answer, whatever it is."""
        fields = {**upgrade_fields(new_key()), **self.fields, **changed}
        return await self.ask(request_head(self.url.adding(**query), fields))

    async def ask(self, request: bytes) -> TargetResponse:
        """Send the bytes of a request; return the answer."""
        async with await self.dial() as wire:
            await wire.send(request)
            try:
                head = await wire.head()
            except ConnectFailed:
                return TargetResponse(0, None)
            return TargetResponse(
                head.status, head, b"" if head.status == 101 else await wire.body(head, 4096)
            )


async def check_is_ours(url: Url) -> None:
    """Raise `ConnectFailed` unless every address of a URL's host is this machine's own."""
    _, host, port = url.origin
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
    except OSError:
        return  # the connection attempt that follows reports what is wrong
    if not all(is_loopback(str(entry[4][0])) for entry in found):
        raise ConnectFailed(
            f"{host} is not this machine: an audit attacks. With its owner's leave: --elsewhere",
            retryable=False,
        )
