"""A client process that queues and sends until it is killed: ``queue_process.py PATH URL FIRST COUNT``."""

from __future__ import annotations

import asyncio
import sys

from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.patterns.message_queue import MessageQueue
from rtlab.policies.backoff import Constant


async def main(path: str, url: str, first: int, count: int) -> None:
    conn = WebSocketConnection(url, backoff=Constant(0.02, min_uptime=0.0))
    async with MessageQueue(conn, path) as queue, conn:
        if queue.damage is not None:
            print("damaged", flush=True)

        async def one(n: int) -> None:
            await queue.send("stamped", n, room_id="killed")
            print(n, flush=True)  # it is on disk: from now on it is promised

        for n in range(first, first + count, 10):
            await asyncio.gather(*(one(k) for k in range(n, min(n + 10, first + count))))
        await queue.flush(20)
    print("flushed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
