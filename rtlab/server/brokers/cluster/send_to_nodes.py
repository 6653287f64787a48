"""Sends messages from one node to the others, through a carrier."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from rtlab.server.brokers.carrying.carrier_interface import Carrier
from rtlab.server.brokers.cluster.node_message_encoding import NodeMessage, encode
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["ALL", "NodeLink", "address_of"]

#: The subject to which all nodes subscribe; each node also subscribes to a subject of its own.
ALL: Final = "all"


def address_of(node: str) -> str:
    """Return the subject to which this node alone subscribes."""
    return f"node {node}"


class NodeLink:
    """Sends messages to nodes, through a carrier.

    Parameters
    ----------
    carrier : Carrier
        Carries the messages.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def send(self, subject: str, message: NodeMessage) -> asyncio.Future[None]:
        """Send a message; see `Carrier.publish`."""
        return self._carrier.publish(subject, encode(message))

    def say(self, subject: str, message: NodeMessage) -> None:
        """Send a message that may be lost without an error: a node that needs it asks again."""
        with suppress(BrokerFailed):
            self.send(subject, message).add_done_callback(_ignore)


def _ignore(carried: asyncio.Future[None]) -> None:
    if not carried.cancelled():
        carried.exception()
