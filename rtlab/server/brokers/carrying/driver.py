"""What one kind of broker has to bring: a connection that is opened once, used, and thrown away.

Reconnecting, waiting messages, probes, gaps and limits are the same for all, and are
`LinkedCarrier`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from rtlab.server.brokers.carrying.carrier import Capabilities

__all__ = ["Attachment", "Driver", "Outgoing", "Stored"]


class Stored(NamedTuple):
    """One message out of the broker's history: its body and its ``message_id``."""

    body: bytes
    message_id: str | None


class Outgoing:
    """One message on its way to the broker.

    Parameters
    ----------
    name : str
        The subject, in the broker's naming.
    body : bytes
        What to publish.
    message_id : str or None
        For the broker's own dedupe.
    answer : Future of None
        Whose publisher waits for it.
    expires : float
        When it has waited too long, in the loop's time.
    """

    __slots__ = ("answer", "body", "expires", "message_id", "name")

    def __init__(
        self, name: str, body: bytes, message_id: str | None, answer: asyncio.Future[None], expires: float
    ) -> None:
        self.name = name
        self.body = body
        self.message_id = message_id
        self.answer = answer
        self.expires = expires


class Attachment(Protocol):
    """One subject that is listened to, over all links that come and go."""

    #: The subject, in the broker's naming.
    name: str
    #: Where to go on after an outage, in the driver's own words; None before the first `Driver.attach`.
    position: Any

    def deliver(self, body: bytes, message_id: str | None, position: Any = None) -> None:
        """Hand a message to whoever listens.

        Parameters
        ----------
        body : bytes
            The message.
        message_id : str or None
            The publisher's word.
        position : object
            Becomes `position`.
        """
        ...


class Driver(Protocol):
    """One kind of broker. Its methods are called by one carrier, `connect` and `disconnect` in turns.

    A method that finds the connection dead raises anything but `BrokerFailed`, or `LinkLost`.
    """

    #: What it promises.
    capabilities: Capabilities
    #: Kind and address, for people.
    label: str
    #: The largest body that the broker takes; None before `connect`, and where there is no limit.
    max_bytes: int | None

    async def connect(self, lost: Callable[[str], None]) -> None:
        """Open a connection.

        Parameters
        ----------
        lost : callable
            To be called, with the reason, when the connection is found dead later.

        Raises
        ------
        BrokerFailed
            When the cause is known; other exceptions are described by the carrier.
        """
        ...

    async def disconnect(self) -> None:
        """End the connection and all that belongs to it; also after a `connect` that failed."""
        ...

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        """Publish messages in their order, and wait for the broker's answers.

        Parameters
        ----------
        batch : sequence of Outgoing
            One or more.

        Returns
        -------
        list
            For each message None, or why the broker refused it. Raising means that
            nobody knows what became of any of them.
        """
        ...

    async def attach(self, attachment: Attachment) -> bool:
        """Begin to deliver a subject: from `Attachment.position`, or from now on where that is None.

        Parameters
        ----------
        attachment : Attachment
            The subject, and who hears it.

        Returns
        -------
        bool
            Whether nothing is missing since `Attachment.position`.
        """
        ...

    async def detach(self, attachment: Attachment) -> None:
        """Stop delivering a subject."""
        ...

    async def read(self, name: str, limit: int) -> list[Stored]:
        """Return the newest messages of a subject, oldest first.

        Parameters
        ----------
        name : str
            The subject, in the broker's naming.
        limit : int
            How many at most.
        """
        ...

    async def check(self) -> None:
        """Look whether the broker is still the right one; called once in a probe's interval.

        Raises
        ------
        LinkLost
            When it is not: a primary that was demoted, say.
        """
        ...
