"""A broker that answers when a test lets it, in any order between senders, or fails."""

from __future__ import annotations

import asyncio

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.room_publishing_interface import BrokerFailed, Published
from rtlab.server.brokers.single_node_broker import SingleNodeBroker
from rtlab.server.rooms.room_membership_hub import Hub

__all__ = ["SlowBroker"]


class SlowBroker:
    """Publishes to memory, later.

    Parameters
    ----------
    hub : Hub
        The rooms.

    Attributes
    ----------
    outstanding : list
        (message, answer) of what was asked for and not answered.
    most : dict of str to int
        Sender → how many of its messages were outstanding at once, at most.
    """

    trips = None

    def __init__(self, hub: Hub) -> None:
        self.outstanding: list[tuple[str, Message, asyncio.Future[Published]]] = []
        self.most: dict[str, int] = {}
        self._memory = SingleNodeBroker(hub)

    def publish(self, room_id: str, message: Message) -> asyncio.Future[Published]:
        answer: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self.outstanding.append((room_id, message, answer))
        sender = message.client_id or ""
        now = sum(1 for _, other, _ in self.outstanding if other.client_id == message.client_id)
        self.most[sender] = max(now, self.most.get(sender, 0))
        return answer

    def enter(self, room_id: str, epoch: str | None = None, offset: int | None = None) -> None:
        """A room is always ready."""

    def report(self) -> None:
        """It stands alone."""

    def answer(self, which: int = 0) -> None:
        """Publish one of the outstanding messages, and say so."""
        room_id, message, answer = self.outstanding.pop(which)
        published = self._memory.publish(room_id, message)
        if not answer.done():
            answer.set_result(published)

    def fail(self, which: int = 0, text: str = "the broker is down") -> None:
        """Refuse one of the outstanding messages."""
        _, _, answer = self.outstanding.pop(which)
        if not answer.done():
            answer.set_exception(BrokerFailed(text))

    async def run(self, delay: float = 0.005) -> None:
        """Answer for ever, the newest first: between senders the order is turned round."""
        while True:
            await asyncio.sleep(delay)
            for _ in range(len(self.outstanding)):
                self.answer(-1)
