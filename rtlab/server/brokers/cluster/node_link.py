"""How one node speaks to the others."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from rtlab.server.brokers.base import BrokerFailed
from rtlab.server.brokers.carrying.carrier import Carrier
from rtlab.server.brokers.cluster.node_messages import NodeMessage, encode

__all__ = ["ALL", "NodeLink", "address_of"]

#: The subject that all nodes hear; each has one of its own besides.
ALL: Final = "all"


def address_of(node: str) -> str:
    """Return the subject that one node hears."""
    return f"node {node}"


class NodeLink:
    """Sends messages to nodes, through a carrier.

    Parameters
    ----------
    carrier : Carrier
        What takes them there.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    def send(self, subject: str, message: NodeMessage) -> asyncio.Future[None]:
        """Send a message; see `Carrier.publish`."""
        return self._carrier.publish(subject, encode(message))

    def say(self, subject: str, message: NodeMessage) -> None:
        """Send a message that may be lost: whoever needs it asks again."""
        with suppress(BrokerFailed):
            self.send(subject, message).add_done_callback(_ignore)


def _ignore(carried: asyncio.Future[None]) -> None:
    if not carried.cancelled():
        carried.exception()
