"""What Linux does when a connection request meets a full accept queue: it drops the SYN without an answer.

The client's kernel retransmits the SYN after 1, 3, 7 … seconds, as if the network had lost it (`tcp(7)`,
``tcp_syn_retries``); since Linux 6.5 after 1, 2, 3, 4, 5, 7 … seconds
(``net.ipv4.tcp_syn_linear_timeouts``). With ``net.ipv4.tcp_abort_on_overflow`` the server's kernel sends a
reset, but only for a handshake that was half done when the queue became full.
"""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple

__all__ = ["AcceptQueueRun", "overflow_accept_queue"]


class AcceptQueueRun(NamedTuple):
    """Number of connects that are `connected`, were `refused` by a reset, or are still `waiting`."""

    connected: int
    refused: int
    waiting: int


async def overflow_accept_queue(backlog: int, clients: int, *, seconds: float = 0.5) -> AcceptQueueRun:
    """Listen without ever accepting, let clients connect, and count the outcomes after `seconds`.

    Parameters
    ----------
    backlog : int
        The backlog given to ``listen``; Linux queues one connection more.
    clients : int
        Number of clients, which connect at the same time.
    seconds : float
        Seconds after which a connect that has had no answer counts as waiting.

    Returns
    -------
    AcceptQueueRun

    Examples
    --------
    >>> await overflow_accept_queue(3, 10)  # doctest: +SKIP
    AcceptQueueRun(connected=4, refused=0, waiting=6)
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
                await asyncio.sleep(seconds)  # closing now would free its place in the queue
                return "connected"

        came = await asyncio.gather(*(dial() for _ in range(clients)))
    return AcceptQueueRun(*(came.count(what) for what in AcceptQueueRun._fields))
