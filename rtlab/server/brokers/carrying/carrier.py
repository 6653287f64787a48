"""What carries bytes between nodes: published under a subject, heard by all who subscribed to it.

A carrier knows nothing of rooms, epochs and offsets: the room's owner node puts those into
the bytes. Its own numbers never leave it. Each carrier declares what it does in `Capabilities`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from rtlab.server.brokers.base import BrokerFailed

__all__ = [
    "Capabilities",
    "Carried",
    "Carrier",
    "CarrierSubscription",
    "GapHandler",
    "Handler",
    "LinkHandler",
    "LinkLost",
]


class LinkLost(BrokerFailed):
    """The link ended before the broker's answer: the message may have been published all the same."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a carrier promises, and by leaving out, what it does not.

    Parameters
    ----------
    ordered : bool
        Every subscriber of a subject hears one publisher's messages in the order in which it
        published them.
    replay : bool
        `Carrier.history` returns what was published.
    dedupe : bool
        A message is carried once, though it is published twice with the same ``message_id``
        (within the broker's window, two minutes).
    delivery : {"at_most_once", "at_least_once"}
        Of what others publish while the link of a subscriber is away: lost, or delivered
        when the link is back. Lost messages are always announced as a gap.
    survives_restart : bool
        What was accepted is there after the broker's process was killed and started again.
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
        What it was published under, as the publisher wrote it.
    body : bytes
        What was published.
    message_id : str or None
        The publisher's own word for it.
    """

    subject: str
    body: bytes
    message_id: str | None


#: Hears each message, on the loop's thread. What it raises goes to the loop's exception handler.
Handler = Callable[[Carried], None]
#: Is told, with the reason, that messages of the subject may be missing from here on.
GapHandler = Callable[[str], None]
#: Is told whether the link is up, and why it went down.
LinkHandler = Callable[[bool, str], None]


class CarrierSubscription(Protocol):
    """One handler's place among the listeners of a subject."""

    async def close(self) -> None:
        """Stop hearing: the handler is not called again. Safe to repeat."""
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
        """What it promises."""
        ...

    @property
    def label(self) -> str:
        """What people call the broker: its kind and address, never its password."""
        ...

    @property
    def up(self) -> bool:
        """Whether the link delivers, as far as is known."""
        ...

    async def open(self) -> None:
        """Connect.

        Raises
        ------
        BrokerFailed
            The broker is not there, refuses the password, or is something else: it says which,
            and what to do.
        """
        ...

    async def close(self) -> None:
        """End the link, and with it all subscriptions. Safe to repeat, and while the link is away."""
        ...

    def publish(self, subject: str, body: bytes, *, message_id: str | None = None) -> asyncio.Future[None]:
        """Publish a message; its place among this carrier's messages is that of the call.

        While the link is away messages wait, up to a limit of number, bytes and time.

        Parameters
        ----------
        subject : str
            Any text.
        body : bytes
            What the subscribers get.
        message_id : str, optional
            Names the message where the carrier dedupes.

        Returns
        -------
        Future of None
            Done when the broker has accepted it, at the level that the carrier declares.

        Raises
        ------
        BrokerFailed
            At once: too large, too many wait already, or closed. From the future: refused,
            or (as `LinkLost`) nobody can say whether it was published.
        """
        ...

    async def subscribe(
        self, subject: str, handler: Handler, on_gap: GapHandler | None = None
    ) -> CarrierSubscription:
        """Hear what is published under a subject from now on, this carrier's own messages included.

        Parameters
        ----------
        subject : str
            Any text.
        handler : callable
            Gets each message.
        on_gap : callable, optional
            Told when messages may be missing, before the next message is delivered: what was
            published while the link was away is lost, or no longer stored.

        Returns
        -------
        CarrierSubscription
            When the broker knows of it: what is published after this is heard.

        Raises
        ------
        BrokerFailed
            When the link is away and does not come back in time, or the broker refuses.
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
            All that were accepted before the call are among them, but for what the limit cuts off.

        Raises
        ------
        BrokerFailed
            Where `Capabilities.replay` is not declared, and when the link is away.
        """
        ...

    def on_link(self, handler: LinkHandler) -> None:
        """Have a function called whenever the link goes down or comes back.

        Parameters
        ----------
        handler : callable
            Gets whether it is up, and the reason when it is not.
        """
        ...
