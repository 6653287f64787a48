"""Each broker's own client, on the same work as a lab's nodes: a confirmed publish to several subscribers."""

# Some of the clients annotate their parameters in part only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

__all__ = ["BARE", "Trip"]

#: Kafka's longest wait for a fetch, the same as in rtlab's own Kafka broker.
_FETCH_WAIT_MS: Final = 20

#: Publishes a message; returns when the broker has confirmed it and every subscriber has received it.
Trip = Callable[[bytes], Awaitable[None]]


@asynccontextmanager
async def _nats(url: str, subscribers: int) -> AsyncGenerator[Trip]:
    import nats

    name = f"bare_{uuid.uuid4().hex}"
    async with AsyncExitStack() as stack:
        clients = [await nats.connect(url) for _ in range(1 + subscribers)]
        for client in clients:
            stack.push_async_callback(client.close)
        stream = clients[0].jetstream()
        await stream.add_stream(name=name, subjects=[name])
        heard = [
            await client.jetstream().subscribe(name, ordered_consumer=True, config=None)
            for client in clients[1:]
        ]

        async def trip(body: bytes) -> None:
            await asyncio.gather(stream.publish(name, body), *(one.next_msg(10) for one in heard))

        yield trip


@asynccontextmanager
async def _redis(url: str, subscribers: int) -> AsyncGenerator[Trip]:
    from redis.asyncio import Redis

    name = f"bare {uuid.uuid4().hex}"
    async with AsyncExitStack() as stack:
        clients: list[Any] = [Redis.from_url(url) for _ in range(1 + subscribers)]
        for client in clients:
            stack.push_async_callback(client.aclose)
        last = await clients[0].xadd(name, {"b": b"first"})
        places = [last] * subscribers

        async def hear(index: int) -> None:
            ((_, entries),) = await clients[1 + index].xread({name: places[index]}, block=10_000)
            places[index] = entries[-1][0]

        async def trip(body: bytes) -> None:
            hearing = [asyncio.create_task(hear(index)) for index in range(subscribers)]
            await asyncio.gather(clients[0].xadd(name, {"b": body}), *hearing)

        yield trip


@asynccontextmanager
async def _rabbitmq(url: str, subscribers: int) -> AsyncGenerator[Trip]:
    import aio_pika

    name = f"bare.{uuid.uuid4().hex}"
    async with AsyncExitStack() as stack:
        connections = [await aio_pika.connect(url) for _ in range(1 + subscribers)]
        for connection in connections:
            stack.push_async_callback(connection.close)
        channels = [await connection.channel() for connection in connections]
        await channels[0].declare_queue(name, durable=True, arguments={"x-queue-type": "stream"})
        heard: asyncio.Queue[None] = asyncio.Queue()

        async def hear(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            heard.put_nowait(None)
            await message.ack()

        for channel in channels[1:]:
            await channel.set_qos(prefetch_count=100)
            queue = await channel.get_queue(name)
            await queue.consume(hear, arguments={"x-stream-offset": "next"})

        async def trip(body: bytes) -> None:
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channels[0].default_exchange.publish(message, name)
            for _ in range(subscribers):
                await heard.get()

        yield trip


@asynccontextmanager
async def _kafka(url: str, subscribers: int) -> AsyncGenerator[Trip]:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

    name, server = f"bare.{uuid.uuid4().hex}", url.partition("://")[2]
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(bootstrap_servers=server, acks="all")
        await producer.start()
        stack.push_async_callback(producer.stop)
        first = await producer.send_and_wait(name, b"first", partition=0)
        consumers: list[Any] = []
        for _ in range(subscribers):
            consumer = AIOKafkaConsumer(
                bootstrap_servers=server, group_id=None, fetch_max_wait_ms=_FETCH_WAIT_MS
            )
            await consumer.start()
            stack.push_async_callback(consumer.stop)
            consumer.assign([TopicPartition(name, 0)])
            consumer.seek(TopicPartition(name, 0), first.offset + 1)
            consumers.append(consumer)

        async def trip(body: bytes) -> None:
            await producer.send_and_wait(name, body, partition=0)
            await asyncio.gather(*(consumer.getone() for consumer in consumers))

        yield trip


#: Kind of broker → a context manager that takes a URL and a number of subscribers, and yields a `Trip`.
BARE: Final[dict[str, Callable[[str, int], AbstractAsyncContextManager[Trip]]]] = {
    "nats": _nats,
    "redis": _redis,
    "rabbitmq": _rabbitmq,
    "kafka": _kafka,
}
