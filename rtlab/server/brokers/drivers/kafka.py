"""Kafka: each subject is a topic with one partition, which stores its messages."""

# The client library's annotations are incomplete.
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
from rtlab.server.brokers.carrying.carrier_interface import Capabilities, LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_interface import Outgoing, Stored, SubjectAttachment
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["KafkaDriver"]

#: What a broker takes with its own defaults (``message.max.bytes``), less a record's overhead.
_MAX_BYTES: Final = 1_000_000
_TOPIC_EXISTS: Final = 36
#: Kafka answers a fetch as soon as there are records; the lab's own Kafka server only after this time. With
#: 100 ms, a message took 107 ms through three nodes; with 20 ms it takes 31 ms, for 2 % more of a CPU.
_FETCH_WAIT_MS: Final = 20
#: Milliseconds between two checks of the reader that its topics were not deleted.
_LOOK_MS: Final = 200
#: Names of a record's headers: the publisher's ``message_id``; a mark, which is not delivered; its number.
_ID: Final = "id"
_MARK: Final = "mark"
_NUMBER: Final = "n"
#: Length of the link's id, with which a number begins.
_LINK_BYTES: Final = 8
#: ``ApiVersions``, version 0, correlation id 1: every Kafka server answers it, even before a login.
_HELLO: Final = struct.pack(">ihhih", 10, 18, 0, 1, -1)

#: Seconds that the start of a client may go on after it was cancelled; a live server needs milliseconds.
_START_REST: Final = 2.0

_Record = ConsumerRecord[Any, bytes]

# The carrier reports a lost link; the client library would log the same once more.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@dataclass(eq=False)
class _Followed:
    """A topic that is read, the offset to be read next, and the last number of each publishing link."""

    attachment: SubjectAttachment
    next: int
    numbers: dict[bytes, int] = field(default_factory=dict[bytes, int])


class KafkaDriver:
    """See `BrokerDriver`. Uses one producer, one consumer for all subjects, and one idle connection.

    The client library reconnects by itself and does not report it; the idle connection shows the loss.
    To learn where a topic ends, the driver publishes a mark. A position is an offset and the timestamp of
    its record: in a topic that was deleted and created again, that offset has another record, or none.
    While a link lasts, such a topic ends too early, or numbers are missing: each link numbers its records.

    Parameters
    ----------
    parts : SplitResult
        The broker's URL.
    limits : CarrierLimits
        How long history is kept.
    """

    # Whether records survive a restart is the server's choice, and no client can ask: not guaranteed.
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
        """See `BrokerDriver.connect`."""
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
            await self._start(self._admin)
            self._producer = AIOKafkaProducer(**self._options, acks="all")
            await self._start(self._producer)
            self._consumer = self._new_consumer("none")
            await self._start(self._consumer)
        except KafkaError as error:
            # `_greet` succeeded, so it is Kafka; the client library says only that it could not start.
            named = "sasl_plain_username" in self._options
            why = "refuses the name or the password" if named else "wants a name and a password"
            raise BrokerFailed(f"{self.label} {why}, it seems: look at the URL ({error})") from error
        self.max_bytes = _MAX_BYTES
        self._tasks.append(asyncio.create_task(self._read_all(), name=f"reader of {self.label}"))

    async def _start(self, client: AIOKafkaAdminClient | AIOKafkaProducer | AIOKafkaConsumer) -> None:
        """Start a client; cancelled, wait up to 2 s for it: else the library leaves a connection open."""
        starting = asyncio.ensure_future(client.start())
        try:
            await asyncio.wait([starting])
            starting.result()
        except asyncio.CancelledError:
            await asyncio.wait([starting], timeout=_START_REST)
            raise
        finally:
            if not starting.cancel() and not starting.cancelled():
                starting.exception()  # asked for, as after a cancellation nobody else does

    def _new_consumer(self, reset: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset=reset,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
        )

    async def _greet(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the idle connection; raise if nothing listens there, or something other than Kafka."""
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
        """Report when the server is gone; reconnect if it has only closed an idle connection."""
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
        """See `BrokerDriver.disconnect`."""
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
        """See `BrokerDriver.send`."""
        # What was read before: a record behind it has a higher offset, unless its topic began anew.
        read = {name: followed.next for name, followed in self._followed.items()}
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
                self._look(message.name, result.offset, read.get(message.name, 0))
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
        """Publish a mark; return its offset and timestamp: all records accepted before precede it."""
        record = await (await self._publish(name, b"", [(_MARK, b"")]))
        return record.offset, record.timestamp or 0

    async def attach(self, attachment: SubjectAttachment) -> bool:
        """See `BrokerDriver.attach`."""
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
        """Return whether the last record that was read is still there, and the offset to continue from."""
        offset, time = known
        if tail <= offset:
            return False, 0  # shorter than it was: the topic was created again
        async with self._records(name, offset) as records:
            first = await anext(records)
        if first.offset > offset:
            return False, first.offset  # older records were removed
        return (True, offset + 1) if first.timestamp == time else (False, 0)

    async def detach(self, attachment: SubjectAttachment) -> None:
        """See `BrokerDriver.detach`."""
        if self._followed.pop(attachment.name, None) is not None:
            self._assign()

    def _assign(self) -> None:
        """Make the consumer read all topics in `_followed`, each from its next offset."""
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
        """Deliver new records of all topics in `_followed`."""
        try:
            while self._consumer is not None:
                await self._some.wait()
                found = await self._consumer.getmany(timeout_ms=_LOOK_MS)
                for partition, records in found.items():
                    followed = self._followed.get(partition.topic)
                    if followed is not None:
                        for record in records:
                            _read_one(followed, record)
                for name, followed in tuple(self._followed.items()):
                    end = self._consumer.highwater(TopicPartition(name, 0))
                    if end is not None:
                        self._look(name, end, followed.next)
        except LinkLost as error:
            self._lost(str(error))
        except Exception as error:
            self._lost(describe(error))

    def _look(self, name: str, end: int, read: int) -> None:
        """Report a topic that ends before what was read of it: it was deleted and created again."""
        if end < read:
            self._lost(f"the topic {name} was deleted")

    async def read(self, name: str, limit: int) -> list[Stored]:
        """See `BrokerDriver.read`."""
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
        """Read a topic from an offset on, with a consumer of its own."""
        consumer = self._new_consumer("earliest")
        try:
            await self._start(consumer)
            partition = TopicPartition(name, 0)
            consumer.assign([partition])
            consumer.seek(partition, start)
            yield aiter(consumer)
        finally:
            await consumer.stop()

    async def check(self) -> None:
        """See `BrokerDriver.check`: does nothing, as the reader checks its topics, and the probe the rest."""


def _read_one(followed: _Followed, record: _Record) -> None:
    """Deliver a record unless the client library sent it twice; raise `LinkLost` if others are missing."""
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
