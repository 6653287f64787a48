"""A client to be killed: ``python -m rtlab.bench.killed_client_process PATH URL FIRST COUNT`` sends.

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


async def main(path: str, url: str, first: int, count: int) -> None:
    """Queue messages ``first`` to ``first + count - 1``, and return when all are acknowledged."""
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
    print("flushed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
