"""The interface of a broker's driver: one connection, which is opened once, used, and discarded.

`ReconnectingCarrier` does what all kinds have in common: reconnection, queueing, probes, gaps and
limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from rtlab.server.brokers.carrying.carrier_interface import Capabilities

__all__ = ["BrokerDriver", "Outgoing", "Stored", "SubjectAttachment"]


class Stored(NamedTuple):
    """One message out of the broker's history: its body and its ``message_id``."""

    body: bytes
    message_id: str | None


class Outgoing:
    """One message on its way to the broker.

    Parameters
    ----------
    name : str
        The subject's name at the broker.
    body : bytes
        The bytes to publish.
    message_id : str or None
        Lets the broker drop repeats, if it can.
    answer : Future of None
        The future that the publisher waits for.
    expires : float
        When the message has waited too long for a link, on the loop's clock.
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


class SubjectAttachment(Protocol):
    """One subscribed subject, which outlives single links."""

    #: The subject's name at the broker.
    name: str
    #: Where to resume after an outage, in the driver's own format; None before the first `attach`.
    position: Any

    def deliver(self, body: bytes, message_id: str | None, position: Any = None) -> None:
        """Pass a message to the subscribers.

        Parameters
        ----------
        body : bytes
            The message.
        message_id : str or None
            The id that the publisher gave the message, if any.
        position : object
            The new value of `SubjectAttachment.position`.
        """
        ...


class BrokerDriver(Protocol):
    """One kind of broker. One carrier calls its methods, `connect` and `disconnect` alternately.

    A method that finds the connection dead raises `LinkLost`, or an exception that is no `BrokerFailed`.
    """

    #: What it guarantees.
    capabilities: Capabilities
    #: Kind and address, for people.
    label: str
    #: Bytes of the largest body that the broker takes; None before `connect`, and where there is no limit.
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
        """Close the connection and all that belongs to it; also called after a `connect` that failed."""
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
            For each message None, or why the broker refused it. If the method raises, it is
            unknown which of the messages were published.
        """
        ...

    async def attach(self, attachment: SubjectAttachment) -> bool:
        """Begin to deliver a subject: from `SubjectAttachment.position`, or from now on where that is None.

        Parameters
        ----------
        attachment : SubjectAttachment
            The subject and its subscribers.

        Returns
        -------
        bool
            Whether nothing is missing since `SubjectAttachment.position`.
        """
        ...

    async def detach(self, attachment: SubjectAttachment) -> None:
        """Stop delivering a subject."""
        ...

    async def read(self, name: str, limit: int) -> list[Stored]:
        """Return the newest messages of a subject, oldest first.

        Parameters
        ----------
        name : str
            The subject's name at the broker.
        limit : int
            How many at most.
        """
        ...

    async def check(self) -> None:
        """Check that the broker may still be used; called once per probe interval.

        Raises
        ------
        LinkLost
            When it may not: a primary that was demoted to a replica, say.
        """
        ...
