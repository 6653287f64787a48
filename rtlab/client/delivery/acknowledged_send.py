"""How `Connection.send` works in its two acknowledged modes: an outbox in memory for each."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import Any, Final, get_args

import msgspec

from rtlab.client.delivery.outbox_identity import OutboxIdentity
from rtlab.client.delivery.parcel import Parcel
from rtlab.client.delivery.receipt import Receipt
from rtlab.client.delivery.retransmission import PER_FRAME, DeliveryMode, Retransmission
from rtlab.client.message_sender import MessageSender
from rtlab.client.pending_requests_and_answers import Requests
from rtlab.client.received_message_dispatch import MessageDispatch
from rtlab.client.transition_action_runner import StateMachineRunner
from rtlab.errors import MessageError, MessageTooLarge, NotConnected
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.limits import MAX_MESSAGE_BYTES
from rtlab.protocol.message_format import RESERVED_TYPES, Message

__all__ = ["STREAM", "AcknowledgedSend", "kept_copy"]

#: The name under which the server knows this outbox. When a newer process of the same client opens it, the
#: server fences the older process.
STREAM: Final = "outbox"

#: How many messages may be unacknowledged before `send` waits.
_CAPACITY: Final = 10_000

#: Types of payloads that cannot be changed after `send` has returned, so that they need no copy.
_IMMUTABLE: Final = frozenset({str, int, float, bool, type(None)})
_decode: Final = msgspec.json.Decoder(Message).decode


def kept_copy(message: Message) -> tuple[Message, int]:
    """Return a copy of a message that later changes of its payload do not affect, and its size as JSON.

    Raises
    ------
    MessageError
        The payload cannot be encoded, or the server does not publish messages of this type.
    """
    if message.type in RESERVED_TYPES and message.type != "echo":
        raise MessageError(
            f"a {message.type!r} message is for the server itself: await request(), which has an answer",
            "payload",
        )
    encoded = JSON.encode(message)
    if message.payload.__class__ in _IMMUTABLE:
        return message, len(encoded)
    # Decoding without further checks is safe: `encode` has just checked the message.
    return _decode(encoded), len(encoded)


class AcknowledgedSend:
    """Keeps each message until it has its result, or its owner closes the connection for good.

    The result is the server's answer; or the error of the message's frame, when that frame has raised
    unforeseen errors (a transport's bug, for instance) six times.

    Parameters
    ----------
    runner : StateMachineRunner
        Calls `follow` when a connection opens and when it ends, and owns the tasks that send.
    dispatch : MessageDispatch
        Keeps refused messages as dead letters.
    requests : Requests
        Generates message ids.
    sender : MessageSender
        Checks messages against the schemas, and sends batches of them.
    window : int
        How many messages may be in flight without an acknowledgement.
    answer_timeout : float
        Seconds without an acknowledgement until a message is retransmitted on an open connection.
    """

    def __init__(
        self,
        runner: StateMachineRunner,
        dispatch: MessageDispatch,
        requests: Requests,
        sender: MessageSender,
        window: int,
        answer_timeout: float,
    ) -> None:
        if window < 1:
            raise ValueError(f"expected delivery_window >= 1, got {window!r}")
        self._runner = runner
        self._dispatch = dispatch
        self._requests = requests
        self._ask = sender.ask
        self._check = sender.check
        self._window = window
        self._answer_timeout = answer_timeout
        self._deliveries: dict[str, Retransmission] = {}
        self._numbers = 0
        self._in_a_row = 0
        self._space: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        runner.follow = self.follow

    def __len__(self) -> int:
        """How many messages are unacknowledged."""
        return sum(map(len, self._deliveries.values()))

    async def send(self, message: Message, mode: DeliveryMode) -> Receipt:
        """Accept a message, which is sent as soon as a connection is open.

        Waits only while 10,000 messages are unacknowledged. After every 64 messages, which fill a frame,
        this yields to the event loop once, so that the frame can be sent.

        Raises
        ------
        MessageError
            The message cannot be encoded, is of a reserved type, violates a schema, or is too large.
        RequestRefused
            A newer process of this client has taken over the outbox.
        NotConnected
            The connection was closed while this waited.
        """
        if mode not in ("at_least_once", "effectively_once"):
            raise ValueError(f"expected delivery to be one of {get_args(DeliveryMode)}, got {mode!r}")
        self._runner.check_loop()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            # Receipts of messages from a former event loop cannot wake anybody any more.
            self._loop, self._space = loop, asyncio.Event()
            self._deliveries.clear()
        message.id = message.id if message.id is not None else self._requests.new_id()
        kept, size_bytes = kept_copy(message)
        self._check(kept)
        limit = self._limit()
        if size_bytes > limit:
            error = MessageTooLarge(size_bytes, limit)
            self._dispatch.refuse(kept, error, "codec")
            raise error
        delivery = self._delivery(mode)
        self._in_a_row += 1
        if self._in_a_row >= PER_FRAME:
            self._in_a_row = 0
            await asyncio.sleep(0)
        while len(delivery) >= _CAPACITY and delivery.failed is None:
            assert self._space is not None
            self._space.clear()
            await self._space.wait()
        if delivery.failed is not None:
            raise delivery.failed
        receipt = Receipt(kept)
        seq = 0
        if delivery.identity is not None:
            self._numbers = seq = self._numbers + 1
        delivery.put(Parcel(kept, size_bytes, partial(self._settle, receipt), seq))
        return receipt

    def _settle(self, receipt: Receipt, result: dict[str, Any], error: Exception | None) -> None:
        receipt.settle(result, error)
        if error is not None and not isinstance(error, NotConnected):
            self._dispatch.refuse(receipt.message, error, "server")

    def _delivery(self, mode: str) -> Retransmission:
        delivery = self._deliveries.get(mode)
        if delivery is None:
            identity = None
            if mode == "effectively_once":
                token = secrets.token_urlsafe(12)
                identity = OutboxIdentity(stream=STREAM, history=token, token=token)
                self._numbers = 0
            delivery = self._deliveries[mode] = Retransmission(
                self._batch,
                self._runner.spawn,
                self._limit,
                identity=identity,
                window=self._window,
                answer_timeout=self._answer_timeout,
                progress=self._progress,
            )
            if self._runner.transport is not None:
                delivery.opened()
        return delivery

    async def _batch(self, items: list[dict[str, Any]], timeout: float) -> Message:
        batch = Message("batch", items, self._requests.new_id())
        return await self._ask(batch, timeout, will_repeat=True)

    def _limit(self) -> int:
        transport = self._runner.transport
        return MAX_MESSAGE_BYTES if transport is None else transport.max_message_bytes

    def _progress(self) -> None:
        if self._space is not None:
            self._space.set()

    # Called by the runner

    def follow(self, up: bool) -> None:
        """Send again when a connection has opened (`up`); stop sending when it has ended."""
        for delivery in tuple(self._deliveries.values()):
            (delivery.opened if up else delivery.lost)()

    def close(self) -> None:
        """Settle each unacknowledged message with `NotConnected`: the owner has closed the connection."""
        deliveries, self._deliveries = self._deliveries, {}
        for delivery in deliveries.values():
            delivery.end(NotConnected("the connection was closed before the server had answered"))
        self._progress()
