"""Kafka: each subject is a topic of one partition, which stores what it carries."""

# The client annotates some of its parameters in part only.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, unquote

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import ConsumerRecord, RecordMetadata

from rtlab.errors import describe
from rtlab.server.brokers.base import BrokerFailed
from rtlab.server.brokers.carrying.carrier import Capabilities, LinkLost
from rtlab.server.brokers.carrying.driver import Attachment, Outgoing, Stored
from rtlab.server.brokers.carrying.limits import CarrierLimits

__all__ = ["KafkaDriver"]

#: What a broker takes with its own defaults (``message.max.bytes``), less a record's overhead.
_MAX_BYTES: Final = 1_000_000
_TOPIC_EXISTS: Final = 36
#: A server of Kafka answers a fetch at once when there is something. The lab's own looks when this time is
#: over: with 100 ms a message took 107 ms through three nodes; with 20 it takes 31, for 2 % more of a CPU.
_FETCH_WAIT_MS: Final = 20
#: Milliseconds after which the reader looks whether its topics are still what they were.
_LOOK_MS: Final = 200
#: Names of a record's headers: the publisher's ``message_id``; that nobody is handed it; its number.
_ID: Final = "id"
_MARK: Final = "mark"
_NUMBER: Final = "n"
#: A number's first bytes name the link that published.
_LINK_BYTES: Final = 8
#: ``ApiVersions``, version 0, number 1: every server of Kafka answers it, to everybody.
_HELLO: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)

_Record = ConsumerRecord[Any, bytes]

# The carrier tells of its link; the client would say the same once more.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@dataclass(eq=False)
class _Followed:
    """A topic that is read, the offset that is read next, and the last number of each link that published."""

    attachment: Attachment
    next: int
    numbers: dict[bytes, int] = field(default_factory=dict[bytes, int])


class KafkaDriver:
    """See `Driver`. One producer, one consumer that reads all subjects, and a connection that says nothing.

    The client hides when a connection ends and tries again by itself; the silent connection tells.
    Where a topic ends is learnt by publishing a mark. A position is an offset and the time of the record
    there: in a topic that was deleted and made again, another record has that offset, or none. While the
    link holds, such a topic ends too early, or numbers are missing: each link numbers what it publishes.

    Parameters
    ----------
    parts : SplitResult
        Its URL.
    limits : CarrierLimits
        How long history is kept.
    """

    # Whether records survive is the server's choice, and no client can ask for it: not promised.
    capabilities = Capabilities(
        ordered=True, replay=True, dedupe=False, delivery="at_least_once", survives_restart=False
    )

    def __init__(self, parts: SplitResult, limits: CarrierLimits) -> None:
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 9092
        self.label = f"Kafka at {self._host}:{self._port}"
        self.max_bytes: int | None = None
        self._limits = limits
        timeout = min(limits.answer_timeout, limits.connect_timeout / 2)
        self._options: dict[str, Any] = {
            "bootstrap_servers": f"{self._host}:{self._port}",
            "request_timeout_ms": int(timeout * 1000),
        }
        if parts.username:
            self._options |= {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": unquote(parts.username),
                "sasl_plain_password": unquote(parts.password or ""),
            }
        self._lost: Callable[[str], None] = lambda _: None
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._link = b""
        self._numbers: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._made: set[str] = set()
        self._followed: dict[str, _Followed] = {}
        self._some = asyncio.Event()

    async def connect(self, lost: Callable[[str], None]) -> None:
        """See `Driver.connect`."""
        self._lost = lost
        self._link, self._turn = secrets.token_bytes(_LINK_BYTES), asyncio.Lock()
        self._numbers.clear()
        self._made.clear()
        self._followed.clear()
        self._some = asyncio.Event()
        reader, writer = await self._greet()
        self._tasks = [asyncio.create_task(self._watch(reader, writer), name=f"watch on {self.label}")]
        try:
            self._admin = AIOKafkaAdminClient(**self._options)
            await self._admin.start()
            self._producer = AIOKafkaProducer(**self._options, acks="all")
            await self._producer.start()
            self._consumer = self._new_consumer("none")
            await self._consumer.start()
        except KafkaError as error:
            # It greeted, so it is Kafka; the client says no more than that it could not begin.
            named = "sasl_plain_username" in self._options
            why = "refuses the name or the password" if named else "wants a name and a password"
            raise BrokerFailed(f"{self.label} {why}, it seems: look at the URL ({error})") from error
        self.max_bytes = _MAX_BYTES
        self._tasks.append(asyncio.create_task(self._read_all(), name=f"reader of {self.label}"))

    def _new_consumer(self, reset: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset=reset,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )

    async def _greet(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the silent connection; raise when nobody listens, or somebody else."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(_HELLO)
            try:
                length, number = struct.unpack(">ii", await reader.readexactly(8))
            except (asyncio.IncompleteReadError, ConnectionError):
                length = number = 0
            if number != 1 or not 6 <= length < 1 << 16:
                raise BrokerFailed(
                    f"who listens at {self._host}:{self._port} does not speak Kafka's protocol"
                )
            await reader.readexactly(length - 4)
        except BaseException:
            writer.close()
            raise
        return reader, writer

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell when the server is gone; one that only ended an idle connection is asked again."""
        try:
            while True:
                with contextlib.suppress(ConnectionError):
                    await reader.read()
                writer.close()
                reader, writer = await self._greet()
        except Exception as error:
            self._lost(f"the connection ended ({describe(error)})")
        finally:
            writer.close()

    async def disconnect(self) -> None:
        """See `Driver.disconnect`."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        clients = (self._consumer, self._producer, self._admin)
        self._consumer = self._producer = self._admin = None
        await asyncio.gather(
            *(
                client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop()
                for client in clients
                if client is not None
            ),
            return_exceptions=True,
        )

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        """See `Driver.send`."""
        answers: list[asyncio.Future[RecordMetadata] | BrokerFailed] = []
        for message in batch:
            headers = [(_ID, message.message_id.encode())] if message.message_id is not None else []
            try:
                answers.append(await self._publish(message.name, message.body, headers))
            except MessageSizeTooLargeError as error:
                answers.append(BrokerFailed(f"{self.label} refused the message: {describe(error)}"))
        done = await asyncio.gather(
            *(one for one in answers if not isinstance(one, BrokerFailed)), return_exceptions=True
        )
        results: list[Exception | None] = []
        accepted = iter(done)
        for message, answer in zip(batch, answers, strict=True):
            result = answer if isinstance(answer, BrokerFailed) else next(accepted)
            if isinstance(result, BrokerFailed):
                results.append(result)
            elif isinstance(result, MessageSizeTooLargeError):
                results.append(BrokerFailed(f"{self.label} refused the message: {describe(result)}"))
            elif isinstance(result, BaseException):
                raise LinkLost(describe(result)) from result
            else:
                self._look(message.name, result.offset + 1)
                results.append(None)
        return results

    async def _publish(
        self, name: str, body: bytes, headers: list[tuple[str, bytes]]
    ) -> asyncio.Future[RecordMetadata]:
        await self._make(name)
        async with self._turn:
            if self._producer is None:
                raise LinkLost("not connected")
            number = self._numbers[name] = self._numbers.get(name, 0) + 1
            numbered = [*headers, (_NUMBER, self._link + number.to_bytes(8))]
            return await self._producer.send(name, body, partition=0, headers=numbered)

    async def _make(self, name: str) -> None:
        if name in self._made or self._admin is None:
            return
        config = {"retention.ms": str(self._limits.history_seconds * 1000)}
        topic = NewTopic(name, num_partitions=1, replication_factor=1, topic_configs=config)
        answer: Any = await self._admin.create_topics([topic])
        for _, code, text in answer.topic_errors:
            if code not in (0, _TOPIC_EXISTS):
                raise BrokerFailed(f"{self.label} did not make the topic {name}: {text or f'error {code}'}")
        self._made.add(name)

    async def _mark(self, name: str) -> tuple[int, int]:
        """Publish a mark; return its offset and time: the topic holds all that was accepted before."""
        record = await (await self._publish(name, b"", [(_MARK, b"")]))
        return record.offset, record.timestamp or 0

    async def attach(self, attachment: Attachment) -> bool:
        """See `Driver.attach`."""
        tail, now = await self._mark(attachment.name)
        whole, start = True, tail + 1
        if attachment.position is None:
            attachment.position = (tail, now)
        else:
            whole, start = await self._resume(attachment.name, attachment.position, tail)
        self._followed[attachment.name] = _Followed(attachment, start)
        self._assign()
        return whole

    async def _resume(self, name: str, known: tuple[int, int], tail: int) -> tuple[bool, int]:
        """Return whether a record that was read is still there, and where to read on."""
        offset, time = known
        if tail <= offset:
            return False, 0  # a shorter topic than it was: another one
        async with self._records(name, offset) as records:
            first = await anext(records)
        if first.offset > offset:
            return False, first.offset  # what came before was removed
        return (True, offset + 1) if first.timestamp == time else (False, 0)

    async def detach(self, attachment: Attachment) -> None:
        """See `Driver.detach`."""
        if self._followed.pop(attachment.name, None) is not None:
            self._assign()

    def _assign(self) -> None:
        """Have the consumer read what is followed now, each topic from where it stands."""
        if self._consumer is None:
            raise LinkLost("not connected")
        places = {TopicPartition(name, 0): one.next for name, one in self._followed.items()}
        if not places:
            self._some.clear()
            self._consumer.unsubscribe()
            return
        self._consumer.assign(list(places))
        for partition, offset in places.items():
            self._consumer.seek(partition, offset)
        self._some.set()

    async def _read_all(self) -> None:
        """Deliver what comes, of all topics."""
        try:
            while self._consumer is not None:
                await self._some.wait()
                found = await self._consumer.getmany(timeout_ms=_LOOK_MS)
                for partition, records in found.items():
                    followed = self._followed.get(partition.topic)
                    if followed is not None:
                        for record in records:
                            _read_one(followed, record)
                for name in tuple(self._followed):
                    end = self._consumer.highwater(TopicPartition(name, 0))
                    if end is not None:
                        self._look(name, end)
        except LinkLost as error:
            self._lost(str(error))
        except Exception as error:
            self._lost(describe(error))

    def _look(self, name: str, end: int) -> None:
        """A topic that ends before what was read of it is another one, made after this was deleted."""
        followed = self._followed.get(name)
        if followed is not None and end < followed.next:
            self._lost(f"the topic {name} was deleted")

    async def read(self, name: str, limit: int) -> list[Stored]:
        """See `Driver.read`."""
        if limit < 1:
            return []
        tail, _ = await self._mark(name)
        span = 2 * limit + 16  # marks have offsets too
        while True:
            start = max(0, tail - span)
            found: list[Stored] = []
            async with self._records(name, start) as records:
                async for record in records:
                    if record.offset >= tail:
                        break
                    if (stored := _stored(record)) is not None:
                        found.append(stored)
            if len(found) >= limit or start == 0:
                return found[-limit:]
            span *= 4

    @contextlib.asynccontextmanager
    async def _records(self, name: str, start: int) -> AsyncGenerator[AsyncIterator[_Record]]:
        """Read a topic from an offset on, beside what is followed."""
        consumer = self._new_consumer("earliest")
        try:
            await consumer.start()
            partition = TopicPartition(name, 0)
            consumer.assign([partition])
            consumer.seek(partition, start)
            yield aiter(consumer)
        finally:
            await consumer.stop()

    async def check(self) -> None:
        """See `Driver.check`: the reader looks at its topics, the probe does the rest."""


def _read_one(followed: _Followed, record: _Record) -> None:
    """Deliver a record, unless it is a repeat of the client's; raise `LinkLost` when others are missing."""
    followed.next = record.offset + 1
    number = dict(record.headers).get(_NUMBER, b"")
    link, count = number[:_LINK_BYTES], int.from_bytes(number[_LINK_BYTES:])
    last = followed.numbers.get(link)
    if last is not None and count <= last:
        return
    if last is not None and count > last + 1:
        raise LinkLost(f"records of {record.topic} are missing: the topic was deleted, or they were refused")
    followed.numbers[link] = count
    position = (record.offset, record.timestamp)
    stored = _stored(record)
    if stored is None:
        followed.attachment.position = position
    else:
        followed.attachment.deliver(stored.body, stored.message_id, position)


def _stored(record: _Record) -> Stored | None:
    headers = dict(record.headers)
    if _MARK in headers:
        return None
    message_id = headers.get(_ID)
    return Stored(record.value or b"", None if message_id is None else message_id.decode())
