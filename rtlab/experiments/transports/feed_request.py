"""Requests one feed over an open connection, and waits for its last message."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from rtlab.errors import LabError

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.client.event_emitter import Disconnected
    from rtlab.protocol.message_format import Message

__all__ = ["take_feed"]

#: Seconds to wait for the answer to the request, and for the feed beyond its nominal duration.
_TIMEOUT: Final = 15.0


async def take_feed(conn: Connection, transport: str, rate: float, size: int, count: int) -> None:
    """Request a feed from the server; return when its last message has arrived.

    Parameters
    ----------
    conn : Connection
        An open connection.
    transport : str
        Name of the transport, for error messages.
    rate, size, count : float, int, int
        Messages per second, bytes of each payload, number of messages.

    Raises
    ------
    LabError
        When the feed did not end in time, or the connection was lost.
    """
    got, done = 0, asyncio.Event()
    reason = ""

    def came(message: Message) -> None:
        nonlocal got
        got += 1
        if message.payload.get("last"):
            done.set()

    def lost(event: Disconnected) -> None:
        nonlocal reason
        reason = f"the {transport} connection was lost ({event.code} {event.reason})"
        done.set()

    conn.on("feed", came)
    conn.on("disconnected", lost)
    try:
        async with asyncio.timeout(count / rate + _TIMEOUT):
            await conn.request("feed", {"rate": rate, "size": size, "count": count}, timeout=_TIMEOUT)
            await done.wait()
    except TimeoutError as error:
        raise LabError(
            f"a feed over {transport} did not end in time: {got} of {count} messages came; "
            "lower the rate, or look at the lab with `lab.check()`"
        ) from error
    finally:
        conn.off("feed", came)
        conn.off("disconnected", lost)
    if reason and got < count:
        raise LabError(f"{reason} after {got} of {count} messages: `lab.check()` says more")
