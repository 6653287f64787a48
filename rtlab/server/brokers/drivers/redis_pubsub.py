"""Redis pub/sub (``?mode=pubsub``): nothing is stored; a node misses messages while it is not connected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import SplitResult

from redis.exceptions import RedisError

from rtlab.errors import describe
from rtlab.server.brokers.carrying.carrier_interface import Capabilities, LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_interface import Outgoing, Stored, SubjectAttachment
from rtlab.server.brokers.drivers.redis_link import RedisLink
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["RedisPubSubDriver"]

#: Separates a message's id from its body; no id contains it.
_END_OF_ID: Final = b"\0"


class RedisPubSubDriver:
    """See `BrokerDriver`. One connection publishes, another is subscribed to all subjects.

    Parameters
    ----------
    parts : SplitResult
        The broker's URL.
    limits : CarrierLimits
        Timeouts.
    """

    capabilities = Capabilities(
        ordered=True, replay=False, dedupe=False, delivery="at_most_once", survives_restart=False
    )

    def __init__(self, parts: SplitResult, limits: CarrierLimits) -> None:
        self._link = RedisLink(parts, limits)
        self.label = f"Redis pub/sub at {self._link.host}"
        self.max_bytes: int | None = None
        self._lost: Callable[[str], None] = lambda _: None
        self._heard: dict[bytes, SubjectAttachment] = {}
        self._confirmed: dict[bytes, asyncio.Future[None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def connect(self, lost: Callable[[str], None]) -> None:
        """See `BrokerDriver.connect`."""
        self._lost = lost
        self._heard.clear()
        await self._link.connect()
        self.max_bytes = self._link.max_bytes
        self._reading = asyncio.create_task(self._read_all(), name=f"reader of {self.label}")

    async def disconnect(self) -> None:
        """See `BrokerDriver.disconnect`."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait((reading,))
        await self._link.disconnect()

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        """See `BrokerDriver.send`."""
        answers = await self._link.pipeline(
            ("PUBLISH", one.name, (one.message_id or "").encode() + _END_OF_ID + one.body) for one in batch
        )
        return [
            BrokerFailed(f"{self.label} refused the message: {one}") if isinstance(one, Exception) else None
            for one in answers
        ]

    async def attach(self, attachment: SubjectAttachment) -> bool:
        """See `BrokerDriver.attach`."""
        name = attachment.name.encode()
        self._heard[name] = attachment
        await self._tell("SUBSCRIBE", name)
        return False

    async def detach(self, attachment: SubjectAttachment) -> None:
        """See `BrokerDriver.detach`."""
        name = attachment.name.encode()
        self._heard.pop(name, None)
        await self._tell("UNSUBSCRIBE", name)

    async def _tell(self, word: str, name: bytes) -> None:
        """Send SUBSCRIBE or UNSUBSCRIBE, and wait until the server has confirmed it."""
        confirmed = self._confirmed[name] = asyncio.get_running_loop().create_future()
        try:
            await self._link.tell_waiter(word, name)
            await confirmed
        finally:
            self._confirmed.pop(name, None)

    async def _read_all(self) -> None:
        reason = "the reader ended"
        try:
            while True:
                kind, name, data = await self._link.heard()
                if kind == b"message":
                    message_id, _, body = data.partition(_END_OF_ID)
                    if (attachment := self._heard.get(name)) is not None:
                        attachment.deliver(body, message_id.decode() or None)
                elif (confirmed := self._confirmed.get(name)) is not None and not confirmed.done():
                    confirmed.set_result(None)
        except (RedisError, OSError, LinkLost) as error:
            reason = str(error) or describe(error)
        finally:
            for waiting in self._confirmed.values():
                if not waiting.done():
                    waiting.set_exception(LinkLost(reason))
            self._lost(reason)

    async def read(self, name: str, limit: int) -> list[Stored]:
        """See `BrokerDriver.read`: there is no history, and `ReconnectingCarrier` does not ask for one."""
        raise BrokerFailed(f"{self.label} stores nothing")

    async def check(self) -> None:
        """See `BrokerDriver.check`."""
        await self._link.check()
