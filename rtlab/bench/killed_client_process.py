"""A client to be killed: ``python -m rtlab.bench.killed_client_process PATH URL FIRST COUNT STAY`` sends.

It prints a message's number once the message is on disk: from then on the message must not get lost.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.policies.backoff import Constant

__all__ = ["ROOM", "main"]

ROOM: Final = "killed"
_TOGETHER: Final = 10


async def main(path: str, url: str, first: int, count: int, *, stay: bool) -> None:
    """Queue messages ``first`` to ``first + count - 1``, and return when all are acknowledged.

    Parameters
    ----------
    path : str
        The queue's file.
    url : str
        The server's WebSocket.
    first, count : int
        The first message's number, and how many messages to send.
    stay : bool
        Whether to wait to be killed at the end: a parent that stalls kills it later than it means to.
    """
    conn = WebSocketConnection(url, backoff=Constant(0.02, min_uptime=0.0))
    async with MessageQueue(conn, path) as queue, conn:
        if queue.damage is not None:
            print("damaged", flush=True)

        async def one(n: int) -> None:
            await queue.send("stamped", n, room_id=ROOM)
            print(n, flush=True)

        end = first + count
        for n in range(first, end, _TOGETHER):
            await asyncio.gather(*(one(k) for k in range(n, min(n + _TOGETHER, end))))
        await queue.flush(20)
        if stay:
            await asyncio.Event().wait()
    print("flushed", flush=True)


if __name__ == "__main__":
    path, url, first, count, stay = sys.argv[1:]
    asyncio.run(main(path, url, int(first), int(count), stay=stay == "stay"))
