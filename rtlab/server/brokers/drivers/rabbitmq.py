"""RabbitMQ: each subject is a stream, which stores its messages (RabbitMQ 3.9 or newer)."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar, cast
from urllib.parse import SplitResult, unquote

import aio_pika
import aiormq
from aio_pika.connection import make_url
from aiormq import Channel, spec
from aiormq.abc import ConsumerCallback, DeliveredMessage

from rtlab.errors import describe
from rtlab.server.brokers.carrying.carrier_interface import Capabilities, LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_interface import Outgoing, Stored, SubjectAttachment
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["RabbitDriver"]

#: The largest message since RabbitMQ 4.0; older versions take more, and no version tells its clients.
_MAX_BYTES: Final = 16 * 1024 * 1024
#: Bytes of a stream's segment files, and of a stream. Beyond that, or its age, the oldest file is deleted.
_SEGMENT_BYTES: Final = 4 * 1024 * 1024
_STREAM_BYTES: Final = 64 * 1024 * 1024
#: Deliveries that may be unacknowledged, and how many are acknowledged at once.
_PREFETCH: Final = 256
_ACK_EVERY: Final = 64
#: Seconds before another attempt to read a stream whose replicas are not ready yet.
_NOT_YET: Final = 0.02
#: The ``type`` of a mark: a message that only shows where the stream ends, and is not delivered.
_MARK: Final = "rtlab.mark"

_REFUSED: Final = (aiormq.exceptions.AuthenticationError, aiormq.exceptions.ProbableAuthenticationError)

_T = TypeVar("_T")

# The carrier reports a lost link; the client library would log the same once more.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)
logging.getLogger("aio_pika").setLevel(logging.CRITICAL)


class _Heard(NamedTuple):
    """One message of a stream: its offset, its unique name, and its content (None for a mark)."""

    offset: int
    name: str
    stored: Stored | None


class RabbitDriver:
    """See `BrokerDriver`. One channel publishes with confirms; each stream is read on a channel of its own.

    RabbitMQ does not tell where a stream ends, so the driver publishes a mark to learn it. A
    position is an offset and the name of the message there: in a stream that was deleted and
    created again, another message has that offset, or none.

    Parameters
    ----------
    parts : SplitResult
        The broker's URL.
    limits : CarrierLimits
        How long history is kept; RabbitMQ cannot be told a number of messages.
    """

    capabilities = Capabilities(
        ordered=True, replay=True, dedupe=False, delivery="at_least_once", survives_restart=True
    )

    def __init__(self, parts: SplitResult, limits: CarrierLimits) -> None:
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 5672
        self.label = f"RabbitMQ at {self._host}:{self._port}"
        self.max_bytes: int | None = None
        self._user, self._password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        self._vhost = unquote(parts.path.removeprefix("/")) or "/"
        self._limits = limits
        self._lost: Callable[[str], None] = lambda _: None
        self._connection: aio_pika.abc.AbstractConnection | None = None
        self._publisher: Channel | None = None
        self._made: set[str] = set()
        self._consumers: dict[SubjectAttachment, aio_pika.abc.AbstractChannel] = {}
        self._waiting: set[asyncio.Future[Any]] = set()

    async def connect(self, lost: Callable[[str], None]) -> None:
        """See `BrokerDriver.connect`."""
        self._lost = lost
        self._made.clear()
        self._consumers.clear()
        self._waiting.clear()
        try:
            url = make_url(
                host=self._host,
                port=self._port,
                login=self._user,
                password=self._password,
                virtualhost=self._vhost,
            )
            connection = aio_pika.Connection(url)
            try:
                await connection.connect()
            except BaseException:
                # Or its finalizer would, perhaps where no loop runs: then nobody awaits that coroutine.
                await connection.close()
                raise
            self._connection = connection
            connection.close_callbacks.add(self._ended)
            channel = await connection.channel()
            channel.close_callbacks.add(self._ended)
            self._publisher = cast(Channel, await channel.get_underlay_channel())
        except (
            aiormq.exceptions.AuthenticationError,
            aiormq.exceptions.ProbableAuthenticationError,
        ) as error:
            raise BrokerFailed(f"{self.label} refuses the name or the password: look at the URL") from error
        except aiormq.exceptions.InvalidFrameError as error:  # the server closed it instead of opening it
            text = f"{self.label} lets nobody into the virtual host {self._vhost!r}: look at the URL's path"
            raise BrokerFailed(text) from error
        except aiormq.exceptions.AMQPError as error:
            if isinstance(error.__cause__, ConnectionRefusedError):
                raise error.__cause__ from error
            where = f"{self._host}:{self._port}"
            raise BrokerFailed(f"who listens at {where} does not speak AMQP 0-9-1: {error}") from error
        self.max_bytes = _MAX_BYTES

    def _ended(self, _: object, error: BaseException | None) -> None:
        """Fail all waiting futures, because the connection or one of its channels has ended."""
        reason = "the connection ended" + (f" ({error})" if error is not None and str(error) else "")
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(LinkLost(reason))
                waiting.exception()  # retrieved: the caller may have failed before it waits
        self._lost(reason)

    def _stream_gone(self, _: spec.Basic.Cancel) -> None:
        self._ended(self, LinkLost("a stream was deleted"))

    async def disconnect(self) -> None:
        """See `BrokerDriver.disconnect`."""
        connection, self._connection = self._connection, None
        self._publisher = None
        if connection is not None:
            connection.close_callbacks.discard(self._ended)
            await connection.close()

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        """See `BrokerDriver.send`."""
        for name in {message.name for message in batch}:
            await self._make(name)
        answers = await asyncio.gather(
            *(self._publish(one.name, one.body, correlation_id=one.message_id) for one in batch),
            return_exceptions=True,
        )
        results: list[Exception | None] = []
        for message, answer in zip(batch, answers, strict=True):
            if isinstance(answer, aiormq.exceptions.DeliveryError):
                results.append(BrokerFailed(f"{self.label} refused the message: {describe(answer)}"))
            elif isinstance(answer, BaseException):
                raise LinkLost(describe(answer)) from answer
            elif answer:
                results.append(None)
            else:
                self._made.discard(message.name)
                self._lost(f"the stream {message.name} is gone")
                results.append(BrokerFailed(f"the stream {message.name} was deleted: not published"))
        return results

    async def _publish(self, name: str, body: bytes, **properties: Any) -> bool:
        """Publish a message; return whether there was a stream to take it."""
        answer = await _open(self._publisher).basic_publish(
            body,
            routing_key=name,
            mandatory=True,
            wait=False,
            properties=spec.Basic.Properties(delivery_mode=2, **properties),
        )
        return not isinstance(answer, DeliveredMessage)  # the server returned it: no stream

    async def _make(self, name: str) -> None:
        if name in self._made:
            return
        arguments: dict[str, Any] = {
            "x-queue-type": "stream",
            "x-max-age": f"{self._limits.history_seconds}s",
            "x-max-length-bytes": _STREAM_BYTES,
            "x-stream-max-segment-size-bytes": _SEGMENT_BYTES,
        }
        try:
            await _open(self._publisher).queue_declare(name, durable=True, arguments=arguments)
        except aiormq.exceptions.ChannelPreconditionFailed as error:
            raise BrokerFailed(f"{self.label} has another queue {name}: delete it there ({error})") from error
        self._made.add(name)

    async def attach(self, attachment: SubjectAttachment) -> bool:
        """See `BrokerDriver.attach`."""
        await self._make(attachment.name)
        if attachment.position is None:
            offset, word = await self._follow_from_now(attachment)
            if attachment.position is None:
                attachment.position = (offset, word)
            return True
        offset, word = attachment.position
        tail, _ = await self._mark(attachment.name)
        reaches = tail > offset
        first: asyncio.Future[bool] = self._future()

        def hear(heard: _Heard) -> None:
            if not first.done():
                known = reaches and (heard.offset, heard.name) == (offset, word)
                first.set_result(known)
                if known:
                    return
            _hand_over(attachment, heard)

        self._consumers[attachment] = await self._consume(
            attachment.name, offset if reaches else "first", hear
        )
        return await self._wait_for(first)

    async def _follow_from_now(self, attachment: SubjectAttachment) -> tuple[int, str]:
        """Begin to deliver new messages; return where the stream ended: a mark's offset and name."""
        mark = uuid.uuid4().hex
        arrived: asyncio.Future[tuple[int, str]] = self._future()

        def hear(heard: _Heard) -> None:
            if heard.name == mark and not arrived.done():
                arrived.set_result((heard.offset, mark))
            _hand_over(attachment, heard)

        self._consumers[attachment] = await self._consume(attachment.name, "next", hear)
        await self._publish(attachment.name, b"", message_id=mark, message_type=_MARK)
        return await self._wait_for(arrived)

    async def _mark(self, name: str) -> tuple[int, str]:
        """Publish a mark; return its offset and name: all messages confirmed before precede it."""
        mark = uuid.uuid4().hex
        arrived: asyncio.Future[tuple[int, str]] = self._future()

        def hear(heard: _Heard) -> None:
            if heard.name == mark and not arrived.done():
                arrived.set_result((heard.offset, mark))

        consumer = await self._consume(name, "next", hear)
        try:
            await self._publish(name, b"", message_id=mark, message_type=_MARK)
            return await self._wait_for(arrived)
        finally:
            await self._cancel(consumer)

    async def _consume(
        self, name: str, start: int | str, hear: Callable[[_Heard], None]
    ) -> aio_pika.abc.AbstractChannel:
        """Begin to read a stream, on a channel of its own, because an error closes the whole channel."""
        while True:
            if self._connection is None:
                raise LinkLost("the connection ended")
            channel = await self._connection.channel(publisher_confirms=False)
            inner = cast(Channel, await channel.get_underlay_channel())
            inner.on_consumer_cancel_callbacks.add(self._stream_gone)
            await inner.basic_qos(prefetch_count=_PREFETCH)
            try:
                await inner.basic_consume(name, _reader(inner, hear), arguments={"x-stream-offset": start})
            except aiormq.exceptions.ChannelPreconditionFailed as error:
                if "replica" not in str(error):
                    raise
                await asyncio.sleep(_NOT_YET)  # another node is just creating the stream
                continue
            except aiormq.exceptions.ConnectionInternalError as error:  # same cause, a moment later
                raise LinkLost(f"{self.label} ended the link: {describe(error)}") from error
            channel.close_callbacks.add(self._ended)
            return channel

    async def _cancel(self, consumer: aio_pika.abc.AbstractChannel) -> None:
        consumer.close_callbacks.discard(self._ended)
        await consumer.close()

    async def detach(self, attachment: SubjectAttachment) -> None:
        """See `BrokerDriver.detach`."""
        consumer = self._consumers.pop(attachment, None)
        if consumer is not None:
            await self._cancel(consumer)

    async def read(self, name: str, limit: int) -> list[Stored]:
        """See `BrokerDriver.read`."""
        if limit < 1:
            return []
        await self._make(name)
        tail, _ = await self._mark(name)
        span = 2 * limit + 16  # marks have offsets too
        while True:
            start = max(0, tail - span)
            found = await self._read_between(name, start, tail)
            if len(found) >= limit or start == 0:
                return found[-limit:]
            span *= 4

    async def _read_between(self, name: str, start: int, tail: int) -> list[Stored]:
        found: list[Stored] = []
        done: asyncio.Future[None] = self._future()

        def hear(heard: _Heard) -> None:
            if heard.offset >= tail:
                if not done.done():
                    done.set_result(None)
            elif heard.stored is not None:
                found.append(heard.stored)

        consumer = await self._consume(name, start, hear)
        try:
            await self._wait_for(done)
        finally:
            await self._cancel(consumer)
        return found

    def _future(self) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        return future

    async def _wait_for(self, future: asyncio.Future[_T]) -> _T:
        """Wait for a future that a delivery completes; raise `LinkLost` if the connection ends before."""
        try:
            return await future
        finally:
            self._waiting.discard(future)

    async def check(self) -> None:
        """See `BrokerDriver.check`: does nothing, because the probe is enough."""


def _reader(channel: Channel, hear: Callable[[_Heard], None]) -> ConsumerCallback:
    """Return the client library's callback for messages; it acknowledges many at once, so that more come."""
    unconfirmed = 0

    async def deliver(message: DeliveredMessage) -> None:
        nonlocal unconfirmed
        properties = message.header.properties
        stored = None
        if properties.message_type != _MARK:
            stored = Stored(message.body, properties.correlation_id)
        offset = (properties.headers or {}).get("x-stream-offset")
        assert isinstance(offset, int)
        hear(_Heard(offset, properties.message_id or "", stored))
        unconfirmed += 1
        if unconfirmed >= _ACK_EVERY and message.delivery_tag is not None:
            unconfirmed = 0
            await channel.basic_ack(message.delivery_tag, multiple=True, wait=False)

    return deliver


def _hand_over(attachment: SubjectAttachment, heard: _Heard) -> None:
    position = (heard.offset, heard.name)
    if heard.stored is None:
        attachment.position = position
    else:
        attachment.deliver(heard.stored.body, heard.stored.message_id, position)


def _open(channel: Channel | None) -> Channel:
    if channel is None or channel.is_closed:
        raise LinkLost("the connection ended")
    return channel
