"""NATS: with JetStream, which stores messages, or without (``?mode=core``)."""

# The client library's annotations are incomplete.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import SplitResult

import nats
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext, api
from nats.js import errors as stream_errors

from rtlab.server.brokers.carrying.carrier_interface import Capabilities, LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_interface import Outgoing, Stored, SubjectAttachment
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["NatsDriver"]

_ID: Final = "Nats-Msg-Id"
#: Bytes of the server's largest payload that are reserved for headers.
_HEADER_ROOM: Final = 1024
#: Seconds within which a repeated ``message_id`` is dropped.
_DEDUPE_WINDOW: Final = 120.0
#: Index of the sequence numbers in a delivered message's reply subject (``$JS.ACK.…``, NATS's ADR-15).
_STREAM_SEQUENCE: Final = -4
_CONSUMER_SEQUENCE: Final = -3


class NatsDriver:
    """See `BrokerDriver`. One stream for a namespace, one ephemeral consumer for each subscribed subject.

    Parameters
    ----------
    parts : SplitResult
        The broker's URL.
    namespace : str
        The namespace, encoded by `encode_subject`.
    limits : CarrierLimits
        How much history is kept.
    stored : bool
        Whether to use JetStream, which stores messages.
    """

    def __init__(self, parts: SplitResult, namespace: str, limits: CarrierLimits, *, stored: bool) -> None:
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 4222
        host = f"{self._host}:{self._port}"
        self.label = f"NATS at {host}"
        self.max_bytes: int | None = None
        self.capabilities = Capabilities(
            ordered=True,
            replay=stored,
            dedupe=stored,
            delivery="at_least_once" if stored else "at_most_once",
            survives_restart=stored,
        )
        self._url = f"nats://{host}"
        self._user, self._password = parts.username, parts.password
        self._limits = limits
        self._stored = stored
        self._stream = f"rtlab_{namespace}"
        self._subjects = f"rtlab.{namespace}.>"
        self._lost: Callable[[str], None] = lambda _: None
        self._client: Client | None = None
        self._streams: JetStreamContext | None = None
        self._created: datetime | None = None
        self._echo = ""
        self._echoes: deque[asyncio.Future[None]] = deque()
        self._heard: dict[SubjectAttachment, tuple[Subscription, str]] = {}

    async def connect(self, lost: Callable[[str], None]) -> None:
        """See `BrokerDriver.connect`."""
        self._lost = lost
        await self._greet()
        client = self._client = Client()
        failed: list[Exception] = []

        async def note(error: Exception) -> None:
            failed.append(error)

        async def ended() -> None:
            lost(f"the connection ended{f' ({failed[-1]})' if failed else ''}")

        options: dict[str, Any] = {"token": self._user} if self._user and not self._password else {}
        if self._password:
            options = {"user": self._user, "password": self._password}
        try:
            await client.connect(
                self._url,
                error_cb=note,
                disconnected_cb=ended,
                allow_reconnect=False,
                connect_timeout=int(self._limits.connect_timeout) or 1,
                **options,
            )
            self.max_bytes = client.max_payload - _HEADER_ROOM
            if self._stored:
                self._streams = client.jetstream(timeout=self._limits.answer_timeout)
                self._created = (await self._make_stream(self._streams)).created
            else:
                self._echo, self._echoes = client.new_inbox(), deque()
                await client.subscribe(self._echo, cb=self._hear_echo)
        except nats.errors.Error as error:
            raise BrokerFailed(_explain(error, self.label)) from error

    async def _greet(self) -> None:
        """Raise if nothing listens there, or something other than NATS: the client library would retry."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            word = await reader.read(5)  # the server speaks first
        finally:
            writer.close()
        if not word.startswith(b"INFO"):
            raise BrokerFailed(f"who listens at {self._host}:{self._port} does not speak NATS's protocol")

    async def _round_trip(self, client: Client) -> None:
        """Wait until the server has read all messages sent before: a message to itself comes back after them.

        The client library's ``flush`` does not ensure this: its PING overtakes messages still buffered.
        """
        echo: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._echoes.append(echo)
        await client.publish(self._echo, b"")
        await echo

    async def _hear_echo(self, _: Msg) -> None:
        echo = self._echoes.popleft()
        if not echo.done():
            echo.set_result(None)

    async def _make_stream(self, streams: JetStreamContext) -> api.StreamInfo:
        try:
            return await streams.add_stream(
                name=self._stream,
                subjects=[self._subjects],
                max_msgs_per_subject=self._limits.history_messages,
                max_age=self._limits.history_seconds,
                storage=api.StorageType.FILE,
                duplicate_window=_DEDUPE_WINDOW,
            )
        except stream_errors.BadRequestError:  # the stream exists, with other limits
            return await streams.stream_info(self._stream)

    async def disconnect(self) -> None:
        """See `BrokerDriver.disconnect`."""
        client, self._client, self._streams = self._client, None, None
        self._heard.clear()
        if client is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await client.close()

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        """See `BrokerDriver.send`."""
        client, streams = self._client, self._streams
        if client is None:
            raise LinkLost("not connected")
        if streams is None:
            for message in batch:
                await client.publish(message.name, message.body, headers=_headers(message))
            await self._round_trip(client)  # the server has read them all
            return [None] * len(batch)
        answers = [
            await streams.publish_async(message.name, message.body, headers=_headers(message))
            for message in batch
        ]
        done: list[Any] = await asyncio.gather(*answers, return_exceptions=True)
        results: list[Exception | None] = []
        for one in done:
            if isinstance(one, stream_errors.NoStreamResponseError | nats.errors.NoRespondersError):
                self._lost(f"the stream {self._stream} is gone")
                results.append(BrokerFailed(f"the stream {self._stream} was deleted: not published"))
            elif isinstance(one, stream_errors.APIError):
                results.append(BrokerFailed(f"{self.label} refused the message: {one.description or one}"))
            elif isinstance(one, BaseException):
                raise LinkLost(str(one) or type(one).__name__)
            else:
                results.append(None)
        return results

    async def attach(self, attachment: SubjectAttachment) -> bool:
        """See `BrokerDriver.attach`."""
        client, streams = self._client, self._streams
        assert client is not None
        if streams is None:
            subscription = await client.subscribe(attachment.name, cb=partial(_hand_over, attachment))
            await self._round_trip(client)
            self._heard[attachment] = (subscription, "")
            return False
        created, since = attachment.position or (None, 0)
        last = (await streams.stream_info(self._stream)).state.last_seq
        whole = attachment.position is None or (created == self._created and since <= last)
        if attachment.position is None or not whole:
            since = last
        attachment.position = (self._created, since)
        inbox = client.new_inbox()
        expected = 0

        async def hear(message: Msg) -> None:
            nonlocal expected
            words = message.reply.split(".")
            expected += 1
            if int(words[_CONSUMER_SEQUENCE]) != expected:
                self._lost(f"a message of {attachment.name} was lost on the way from the server")
                return
            position = (self._created, int(words[_STREAM_SEQUENCE]))
            attachment.deliver(message.data, (message.headers or {}).get(_ID), position)

        subscription = await client.subscribe(inbox, cb=hear)
        consumer = await self._consume(streams, attachment.name, inbox, since + 1)
        self._heard[attachment] = (subscription, consumer.name)
        # If so many messages are pending, older ones may have been removed already.
        return whole and (consumer.num_pending or 0) < self._limits.history_messages

    async def _consume(
        self, streams: JetStreamContext, name: str, inbox: str, start: int
    ) -> api.ConsumerInfo:
        return await streams.add_consumer(
            self._stream,
            deliver_subject=inbox,
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=start,
            filter_subject=name,
            ack_policy=api.AckPolicy.NONE,
            mem_storage=True,
            num_replicas=1,
        )

    async def detach(self, attachment: SubjectAttachment) -> None:
        """See `BrokerDriver.detach`."""
        subscription, consumer = self._heard.pop(attachment, (None, ""))
        if subscription is not None:
            await subscription.unsubscribe()
        if consumer and self._streams is not None:
            with contextlib.suppress(stream_errors.NotFoundError):
                await self._streams.delete_consumer(self._stream, consumer)

    async def read(self, name: str, limit: int) -> list[Stored]:
        """See `BrokerDriver.read`."""
        client, streams = self._client, self._streams
        if client is None or streams is None:
            raise LinkLost("not connected")
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        consumer = await self._consume(streams, name, inbox, 1)
        try:
            found: list[Stored] = []
            for _ in range(consumer.num_pending or 0):
                message = await subscription.next_msg(self._limits.answer_timeout)
                found.append(Stored(message.data, (message.headers or {}).get(_ID)))
        finally:
            await subscription.unsubscribe()
            await streams.delete_consumer(self._stream, consumer.name)
        return found[-limit:] if limit > 0 else []

    async def check(self) -> None:
        """See `BrokerDriver.check`: does nothing, because the probe is enough."""


async def _hand_over(attachment: SubjectAttachment, message: Msg) -> None:
    attachment.deliver(message.data, (message.headers or {}).get(_ID))


def _headers(message: Outgoing) -> dict[str, str] | None:
    return None if message.message_id is None else {_ID: message.message_id}


def _explain(error: Exception, label: str) -> str:
    text = str(error)
    if "uthorization" in text or "uthentication" in text:
        return f"{label} refuses the name or the password: look at the URL"
    if isinstance(error, stream_errors.ServiceUnavailableError | nats.errors.NoRespondersError):
        return f"{label} has no JetStream: start it with `-js`, or use ?mode=core"
    return f"could not talk to {label}: {text or type(error).__name__}"
