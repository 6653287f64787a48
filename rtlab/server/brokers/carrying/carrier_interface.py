"""The interface that carries bytes between nodes: published under a subject, delivered to subscribers.

A carrier knows nothing of rooms, epochs and offsets: the node that owns a room puts those into
the bytes. A broker's own sequence numbers stay inside its carrier, which declares in `Capabilities`
what it guarantees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = [
    "Capabilities",
    "Carried",
    "CarriedHandler",
    "Carrier",
    "CarrierSubscription",
    "GapHandler",
    "LinkHandler",
    "LinkLost",
]


class LinkLost(BrokerFailed):
    """The link ended before the broker's answer: the message may have been published all the same."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a carrier guarantees, and what it does not.

    Parameters
    ----------
    ordered : bool
        Every subscriber of a subject gets one publisher's messages in the order in which they
        were published.
    replay : bool
        `Carrier.history` returns what was published.
    dedupe : bool
        A message that is published twice with the same ``message_id`` is delivered once
        (within the broker's window, two minutes).
    delivery : {"at_most_once", "at_least_once"}
        Whether messages that are published while a subscriber's link is down are lost, or are
        delivered when it is up again. Lost messages are always announced as a gap.
    survives_restart : bool
        Accepted messages survive when the broker's process is killed and started again.
    """

    ordered: bool
    replay: bool
    dedupe: bool
    delivery: Literal["at_most_once", "at_least_once"]
    survives_restart: bool


class Carried(NamedTuple):
    """One message, as it is delivered.

    Parameters
    ----------
    subject : str
        The subject, as the publisher wrote it.
    body : bytes
        The published bytes.
    message_id : str or None
        The id that the publisher gave the message, if any.
    """

    subject: str
    body: bytes
    message_id: str | None


#: Called with each message, on the loop's thread. Its exceptions go to the loop's exception handler.
CarriedHandler = Callable[[Carried], None]
#: Called with a reason when messages of the subject may be missing at this point.
GapHandler = Callable[[str], None]
#: Called with whether the link is up, and with the reason if it is down.
LinkHandler = Callable[[bool, str], None]


class CarrierSubscription(Protocol):
    """One handler's subscription to a subject."""

    async def close(self) -> None:
        """Unsubscribe: the handler is not called again. Safe to repeat."""
        ...


class Carrier(Protocol):
    """Carries bytes between nodes, over one broker.

    Examples
    --------
    ::

        carrier = carrier_for("nats://127.0.0.1:4222", namespace="lab-7")
        await carrier.open()
        heard = await carrier.subscribe("room 1", lambda message: print(message.body))
        await carrier.publish("room 1", b"hello", message_id="a-1")
        await heard.close()
        await carrier.close()
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this carrier guarantees."""
        ...

    @property
    def label(self) -> str:
        """The broker's kind and address, for people; never its password."""
        ...

    @property
    def up(self) -> bool:
        """Whether the link to the broker is up, as far as is known."""
        ...

    async def open(self) -> None:
        """Connect.

        Raises
        ------
        BrokerFailed
            The broker does not answer, refuses the password, or is another kind of server. The
            text says which, and what to do.
        """
        ...

    async def close(self) -> None:
        """Close the link and all subscriptions. Safe to repeat, and to call while the link is down."""
        ...

    def publish(self, subject: str, body: bytes, *, message_id: str | None = None) -> asyncio.Future[None]:
        """Publish a message; this carrier sends messages in the order of the calls.

        While the link is down, messages wait, up to limits of number, bytes and time.

        Parameters
        ----------
        subject : str
            Any text.
        body : bytes
            What the subscribers get.
        message_id : str, optional
            Identifies the message to a broker that drops repeats (`Capabilities.dedupe`).

        Returns
        -------
        Future of None
            Done when the broker has accepted the message, with the guarantees of `Capabilities`.

        Raises
        ------
        BrokerFailed
            At once, if the message is too large, too many messages wait, or the carrier is closed.
            From the future, if the broker refuses the message, or (as `LinkLost`) if it is unknown
            whether it was published.
        """
        ...

    async def subscribe(
        self, subject: str, handler: CarriedHandler, on_gap: GapHandler | None = None
    ) -> CarrierSubscription:
        """Receive what is published under a subject from now on, this carrier's own messages included.

        Parameters
        ----------
        subject : str
            Any text.
        handler : callable
            Called with each message.
        on_gap : callable, optional
            Called when messages may be missing, before the next message is delivered: they were
            published while the link was down, and are lost or no longer stored.

        Returns
        -------
        CarrierSubscription
            Returned once the broker has confirmed it: whatever is published later is delivered.

        Raises
        ------
        BrokerFailed
            When the link is down and does not come back in time, or the broker refuses.
        """
        ...

    async def history(self, subject: str, limit: int) -> list[Carried]:
        """Return the newest messages of a subject, oldest first.

        Parameters
        ----------
        subject : str
            Any text.
        limit : int
            How many at most; the broker may keep fewer.

        Returns
        -------
        list of Carried
            Messages accepted before the call are all among them, except those beyond the limit.

        Raises
        ------
        BrokerFailed
            Where `Capabilities.replay` is not declared, and when the link is down.
        """
        ...

    def on_link(self, handler: LinkHandler) -> None:
        """Have a function called whenever the link goes down or comes back.

        Parameters
        ----------
        handler : callable
            Called with whether the link is up, and with the reason if it is down.
        """
        ...
