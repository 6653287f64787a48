"""A broker in this process's memory: the reference for other drivers, and a broker for tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from rtlab.server.brokers.carrying.carrier_interface import Capabilities, LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_interface import Outgoing, Stored, SubjectAttachment

__all__ = ["MemoryDriver", "MemoryLog"]

#: How many message ids a subject remembers.
_KNOWN_IDS: Final = 10_000


class MemoryLog:
    """One subject: numbered messages, of which the newest are kept.

    Parameters
    ----------
    size : int
        How many messages are kept.
    """

    def __init__(self, size: int) -> None:
        self.messages: deque[tuple[int, Stored]] = deque(maxlen=size)
        self.last = 0
        self.ids: dict[str, None] = {}
        self.listeners: dict[SubjectAttachment, None] = {}

    def add(self, body: bytes, message_id: str | None) -> None:
        """Store a message and deliver it, unless its id is known.

        Parameters
        ----------
        body : bytes
            The message.
        message_id : str or None
            The message's id; None for a message without one, which is always stored.
        """
        if message_id is not None:
            if message_id in self.ids:
                return
            self.ids[message_id] = None
            if len(self.ids) > _KNOWN_IDS:
                del self.ids[next(iter(self.ids))]
        self.last += 1
        self.messages.append((self.last, Stored(body, message_id)))
        for listener in tuple(self.listeners):
            listener.deliver(body, message_id, self.last)


class MemoryDriver:
    """See `BrokerDriver`: all carriers of one process that use the same name hear each other.

    Parameters
    ----------
    name : str
        The broker's name.
    limits : CarrierLimits
        How much history is kept.
    """

    capabilities: Capabilities = Capabilities(
        ordered=True, replay=True, dedupe=True, delivery="at_least_once", survives_restart=False
    )
    max_bytes: int | None = None

    _brokers: Final[dict[str, dict[str, MemoryLog]]] = {}

    def __init__(self, name: str, limits: CarrierLimits) -> None:
        self.label = f"memory://{name}"
        self._size = limits.history_messages
        self._logs = self._brokers.setdefault(name, {})
        self._lost: Callable[[str], None] | None = None
        self._attached: dict[SubjectAttachment, MemoryLog] = {}

    async def connect(self, lost: Callable[[str], None]) -> None:
        """See `BrokerDriver.connect`."""
        self._lost = lost

    async def disconnect(self) -> None:
        """See `BrokerDriver.disconnect`."""
        self._lost = None
        for attachment in tuple(self._attached):
            await self.detach(attachment)

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        """See `BrokerDriver.send`."""
        if self._lost is None:
            raise LinkLost("the link was cut")
        for message in batch:
            self._log(message.name).add(message.body, message.message_id)
        return [None] * len(batch)

    async def attach(self, attachment: SubjectAttachment) -> bool:
        """See `BrokerDriver.attach`."""
        log = self._log(attachment.name)
        since = attachment.position
        missed = [] if since is None else [one for one in log.messages if one[0] > since]
        whole = since is None or log.last - since == len(missed)
        attachment.position = log.last
        for number, (body, message_id) in missed:
            attachment.deliver(body, message_id, number)
        log.listeners[attachment] = None
        self._attached[attachment] = log
        return whole

    async def detach(self, attachment: SubjectAttachment) -> None:
        """See `BrokerDriver.detach`."""
        log = self._attached.pop(attachment, None)
        if log is not None:
            log.listeners.pop(attachment, None)

    async def read(self, name: str, limit: int) -> list[Stored]:
        """See `BrokerDriver.read`."""
        return [stored for _, stored in self._log(name).messages][-limit:] if limit > 0 else []

    async def check(self) -> None:
        """See `BrokerDriver.check`."""

    def _log(self, name: str) -> MemoryLog:
        log = self._logs.get(name)
        if log is None:
            log = self._logs[name] = MemoryLog(self._size)
        return log
