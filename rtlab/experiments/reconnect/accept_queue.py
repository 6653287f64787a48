"""What Linux does with a connection that finds the accept queue full: nothing, and that is the trouble.

The SYN is dropped, so the client's kernel sends it again after 1, 3, 7 … seconds, as if the network had
lost it (`tcp(7)`, ``tcp_syn_retries``); since Linux 6.5 after 1, 2, 3, 4, 5, 7 … seconds
(``net.ipv4.tcp_syn_linear_timeouts``). With ``net.ipv4.tcp_abort_on_overflow`` a reset is sent, but
only for a handshake that was half done when the queue became full.
"""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple

__all__ = ["Overflow", "overflow_accept_queue"]


class Overflow(NamedTuple):
    """What became of the connects: `connected`, `refused` by a reset, or still `waiting`."""

    connected: int
    refused: int
    waiting: int


async def overflow_accept_queue(backlog: int, clients: int, *, seconds: float = 0.5) -> Overflow:
    """Listen without ever accepting, let clients connect, and look after a while.

    Parameters
    ----------
    backlog : int
        Given to ``listen``; Linux takes one more.
    clients : int
        That connect at the same time.
    seconds : float
        How long they are watched.

    Returns
    -------
    Overflow

    Examples
    --------
    >>> await overflow_accept_queue(3, 10)  # doctest: +SKIP
    Overflow(connected=4, refused=0, waiting=6)
    """
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:
        address = listener.getsockname()

        async def dial() -> str:
            with socket.socket() as client:
                client.setblocking(False)
                try:
                    await asyncio.wait_for(loop.sock_connect(client, address), seconds)
                except TimeoutError:
                    return "waiting"
                except ConnectionError:
                    return "refused"
                await asyncio.sleep(seconds)  # else its place would be free again
                return "connected"

        came = await asyncio.gather(*(dial() for _ in range(clients)))
    return Overflow(*(came.count(what) for what in Overflow._fields))
