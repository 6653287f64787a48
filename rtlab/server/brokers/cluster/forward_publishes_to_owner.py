"""Forwards messages of this node's clients to the rooms' owners, and waits for the owners' answers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.cluster.cluster_membership import Membership
from rtlab.server.brokers.cluster.node_message_encoding import Forward, Reply
from rtlab.server.brokers.cluster.owned_rooms_and_handover import OwnedRooms
from rtlab.server.brokers.cluster.send_to_nodes import NodeLink, address_of
from rtlab.server.brokers.room_publishing_interface import BrokerFailed, Published

__all__ = ["ForwardedPublishes"]

#: Seconds that a message waits for a room's owner; its sender gets an answer after 5 s at the latest.
_PATIENCE: Final = 4.0
_RETRY: Final = 0.05
_MAX_WAITING: Final = 10_000
_UNCERTAIN: Final = "it may have been published all the same"


@dataclass(eq=False)
class _Publish:
    room_id: str
    message: Message
    result: asyncio.Future[Published]
    deadline: float


class ForwardedPublishes:
    """Passes messages to the owners of their rooms, on this node or on others.

    Parameters
    ----------
    members : Membership
        Knows each room's owner.
    link : NodeLink
        Sends messages to owners.
    owned : OwnedRooms
        The rooms that this node itself owns.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self, members: Membership, link: NodeLink, owned: OwnedRooms, clock: Callable[[], float]
    ) -> None:
        self._members = members
        self._link = link
        self._owned = owned
        self._clock = clock
        self._sent: dict[int, tuple[str, _Publish]] = {}
        self._numbers = itertools.count(1)
        self._waiting = 0

    def publish(self, room_id: str, message: Message) -> asyncio.Future[Published]:
        """See `Broker.publish`."""
        if self._waiting >= _MAX_WAITING:
            raise BrokerFailed(f"{_MAX_WAITING:,} messages wait for their rooms' owners already")
        result: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self._waiting += 1
        result.add_done_callback(self._answered)
        self._try(_Publish(room_id, message, result, self._clock() + _PATIENCE))
        return result

    def _answered(self, _: object) -> None:
        self._waiting -= 1

    def _try(self, publish: _Publish) -> None:
        if publish.result.done():
            return
        owner = self._members.owner(publish.room_id)
        if owner == self._members.me:
            self._owned.number(publish.room_id, publish.message, partial(self._settle, publish))
        elif owner is None or not self._members.leads:
            self._settle(publish, None)
        else:
            number = next(self._numbers)
            self._sent[number] = (owner, publish)
            # If it is lost, `tick` fails the publish at its deadline.
            forward = Forward(self._members.me, number, publish.room_id, publish.message)
            self._link.say(address_of(owner), forward)

    def _settle(self, publish: _Publish, answer: Published | BrokerFailed | None) -> None:
        result = publish.result
        if result.done():
            return
        if isinstance(answer, Published):
            result.set_result(answer)
        elif answer is not None:
            result.set_exception(answer)
        elif self._clock() > publish.deadline:
            cut_off = "" if self._members.connected else ": this node is cut off from the broker"
            result.set_exception(BrokerFailed(f"the room has no owner that answers{cut_off}"))
        else:
            result.get_loop().call_later(_RETRY, self._try, publish)

    def obey(self, forward: Forward) -> None:
        """Publish another node's message, and answer it."""
        self._owned.number(forward.room, forward.message, partial(self._reply, forward))

    def _reply(self, forward: Forward, answer: Published | BrokerFailed | None) -> None:
        if isinstance(answer, Published):
            reply = Reply(forward.number, answer.epoch, answer.offset)
        else:
            reply = Reply(forward.number, error=None if answer is None else str(answer))
        self._link.say(address_of(forward.node), reply)

    def replied(self, reply: Reply) -> None:
        """Take an owner's answer."""
        _, publish = self._sent.pop(reply.number, ("", None))
        if publish is None:
            return
        if reply.epoch is not None:
            self._settle(publish, Published(reply.epoch, reply.offset))
        else:
            self._settle(publish, None if reply.error is None else BrokerFailed(reply.error))

    def tick(self) -> None:
        """Fail messages that an owner has not answered in time."""
        now = self._clock()
        self._fail("the room's owner did not answer", lambda _, publish: publish.deadline < now)

    def living_changed(self, living: Collection[str]) -> None:
        """Fail messages whose owner no longer lives."""
        self._fail("the room's owner is gone", lambda owner, _: owner not in living)

    def stop(self) -> None:
        """Fail all messages that wait for an owner's answer."""
        self._fail("this node stops", lambda owner, publish: True)

    def _fail(self, reason: str, which: Callable[[str, _Publish], bool]) -> None:
        for number, (owner, publish) in list(self._sent.items()):
            if which(owner, publish):
                del self._sent[number]
                if not publish.result.done():
                    publish.result.set_exception(BrokerFailed(f"{reason}; {_UNCERTAIN}"))
