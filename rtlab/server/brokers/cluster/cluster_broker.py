"""The broker of a node in a cluster: each room is owned by one node, which numbers its messages.

A node forwards its clients' messages to the room's owner, and the ``ack`` reports the owner's
answer. The owner assigns epoch and offset, and sends the message to all nodes through the
carrier; when it comes back to the owner itself, it counts as published. None of this relies on the
carrier's order and guarantees: a node that misses an offset asks the owner, and a node that hears of
a newer epoch adopts it and tells its members (``resync``). When a node joins or leaves in order,
rooms are handed over, and clients do not notice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final

from rtlab.protocol.message_format import Message
from rtlab.server.brokers.carrying.carrier_interface import Carried, Carrier
from rtlab.server.brokers.cluster.cluster_membership import Membership, Timings
from rtlab.server.brokers.cluster.dead_node_detection import LifeLines
from rtlab.server.brokers.cluster.forward_publishes_to_owner import ForwardedPublishes
from rtlab.server.brokers.cluster.node_message_encoding import (
    AskHistory,
    Forward,
    Handed,
    NodeBeat,
    Out,
    Reply,
    RoomHandover,
    RoomUsers,
    Told,
    decode,
)
from rtlab.server.brokers.cluster.owned_rooms_and_handover import OwnedRooms
from rtlab.server.brokers.cluster.room_sequencer import UNKNOWN_EPOCH, term_of
from rtlab.server.brokers.cluster.rooms_owned_elsewhere import FollowedRooms
from rtlab.server.brokers.cluster.send_to_nodes import ALL, NodeLink, address_of
from rtlab.server.brokers.room_publishing_interface import BrokerFailed, Published
from rtlab.server.latency_histogram_buckets import Histogram
from rtlab.server.maybe_awaitable_values import Later
from rtlab.server.rooms.room_membership_hub import Hub

__all__ = ["ClusterBroker"]

#: Seconds within which the broker must deliver the first heartbeat back to its node.
_ECHO_TIMEOUT: Final = 10.0
#: Seconds that a stopping node waits until the messages that it has published come back.
_STOP_TIMEOUT: Final = 1.0

_log = logging.getLogger(__name__)


class ClusterBroker:
    """See `Broker`; keeps this node's rooms consistent with those of all nodes that the carrier reaches.

    Parameters
    ----------
    hub : Hub
        This node's rooms.
    carrier : Carrier
        A carrier that is not open yet; this broker opens and closes it.
    name : str
        The node's name, unique among the nodes.
    timings : Timings
        Interval of heartbeats, and how soon a silent node counts as dead.
    clock : callable
        Seconds, monotonic.

    Attributes
    ----------
    trips : Histogram
        Seconds that this node's heartbeats took to the broker and back.
    """

    def __init__(
        self,
        hub: Hub,
        carrier: Carrier,
        name: str,
        *,
        timings: Timings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trips = Histogram()
        self._hub = hub
        self._carrier = carrier
        self._clock = clock
        self._timings = timings or Timings()
        self._link = NodeLink(carrier)
        self._members = Membership(name, clock, self._timings)
        self._owned = OwnedRooms(hub, self._members, self._link, self._announce, self._reclaim, clock)
        self._followed = FollowedRooms(hub, self._members, self._link, self._owned)
        self._forwarded = ForwardedPublishes(self._members, self._link, self._owned, clock)
        self._echo = asyncio.Event()
        self._lines = LifeLines(self._members.my_life, self._process_ended)
        self._door = 0
        # Node → its process that has ended, and when this was noticed: messages of it may be on their way.
        self._ended: dict[str, tuple[str, float]] = {}
        # Nodes found dead because their process ended, and because they were silent.
        self._deaths = {"ended": 0, "silent": 0}
        self._task: asyncio.Task[None] | None = None
        self._said_bye = False
        hub.tell_nodes = self._tell_users
        hub.ask_nodes = self._ask_users
        hub.new_epoch = lambda: UNKNOWN_EPOCH  # for a room whose owner does not answer

    async def start(self) -> None:
        """Open the carrier, and find the other nodes.

        Raises
        ------
        BrokerFailed
            When the broker cannot be reached, or does not deliver.
        """
        await self._carrier.open()
        self._door = await self._lines.open()
        await self._carrier.subscribe(address_of(self._members.me), self._receive, self._gap)
        await self._carrier.subscribe(ALL, self._receive, self._gap)
        self._beat(hello=True)
        try:
            async with asyncio.timeout(_ECHO_TIMEOUT):
                await self._echo.wait()
        except TimeoutError:
            raise BrokerFailed(f"{self._carrier.label} takes messages, but delivers none") from None
        # By then every living node has sent a heartbeat.
        await asyncio.sleep(1.5 * self._timings.beat)
        self._members.ready = True
        self._expect_handovers()
        self._carrier.on_link(self._link_changed)
        self.tick()
        self._owned.release()  # it owns no room yet; the others wait for its `Handed`
        self._task = asyncio.create_task(self._run(), name="cluster")

    async def stop(self) -> None:
        """Announce the node's end, hand over its rooms, and close the carrier. Safe to repeat."""
        task, self._task = self._task, None
        if task is not None:
            self._link.say(ALL, self._beat_message({}, bye=True))
            self._said_bye = True
            self._owned.release(stops=True)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            with suppress(BrokerFailed, TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT):
                    while self._owned.waiting:
                        await asyncio.sleep(0.01)
                    await self._link.send(ALL, Handed(self._members.me, self._members.lives))
        self._members.ready = False
        self._owned.surrender("this node stops")
        self._forwarded.stop()
        await self._lines.close()
        await self._carrier.close()

    def publish(self, room_id: str, message: Message) -> asyncio.Future[Published]:
        """See `Broker.publish`."""
        return self._forwarded.publish(room_id, message)

    def enter(self, room_id: str, epoch: str | None = None, offset: int | None = None) -> Later[None]:
        """See `Broker.enter`."""
        return self._followed.enter(room_id, epoch, offset)

    def owner(self, room_id: str) -> str | None:
        """Return the node that numbers a room's messages, as far as this node knows."""
        return self._members.owner(room_id)

    def report(self) -> dict[str, Any]:
        """Return what ``/stats`` shows of the cluster."""
        return {
            "broker": self._carrier.label,
            "nodes": self._members.living,
            "connected": self._members.connected,
            # Seconds since the newest heartbeat that came back was sent; None before the first.
            "silence": self._members.silence,
            "takeovers": self._owned.takeovers,
            "lapses": self._owned.lapses,
            "catch_ups": self._followed.catch_ups,
            "deaths": dict(self._deaths),
        }

    # Heartbeats and deaths

    async def _run(self) -> None:
        beat_at = self._clock() + self._timings.beat
        while True:
            # All nodes receive a heartbeat at about the same time. Each checks when it becomes too old, not
            # with its own next heartbeat: so all notice a death together, and the new owner is ready.
            until_death = self._members.next_death - self._clock()
            await asyncio.sleep(max(0.0, min(self._timings.beat, beat_at - self._clock(), until_death)))
            try:
                if self._clock() < beat_at:
                    self._look_for_silence()
                else:
                    beat_at = self._clock() + self._timings.beat
                    self.tick()
            except Exception:
                # A failing tick must not end the heartbeats for good.
                _log.exception("the cluster's upkeep failed; it goes on")

    def tick(self) -> None:
        """Send a heartbeat, and check for silent nodes; called by the broker's own task."""
        self._look_at_lease()
        self._beat(self._owned.news())
        self._look_for_silence()
        self._forwarded.living_changed([*self._members.living, *self._owned.expected])
        self._forwarded.tick()
        self._followed.tick()

    def _look_for_silence(self) -> None:
        dead = self._members.expire()
        self._deaths["silent"] += len(dead)
        self._bury(dead)

    def _look_at_lease(self) -> None:
        if self._members.ready and not self._owned.check_lease():
            self._followed.forget_agreements()

    def _process_ended(self, node: str, life: str) -> None:
        # What that process has published arrives before this heartbeat comes back: so nothing is missed.
        self._ended[node] = life, self._clock()
        self._beat()

    def _bury_ended(self, echoed: float) -> None:
        """Bury nodes whose last messages have arrived: a heartbeat sent after their end has come back."""
        told = [node for node, (_, since) in self._ended.items() if since <= echoed]
        lives = {node: self._ended.pop(node)[0] for node in told}
        dead = [node for node, life in lives.items() if self._members.gone(node, life)]
        self._deaths["ended"] += len(dead)
        self._bury(dead)

    def _bury(self, dead: Collection[str]) -> None:
        for node in dead:
            self._lines.let_go(node)
            self._owned.expect_no_more(node)
            self._hub.without_node(node)
        if dead:
            self._living_changed()

    def _expect_handovers(self) -> None:
        self._owned.expect(node for node in self._members.living if node != self._members.me)

    def _living_changed(self) -> None:
        self._forwarded.living_changed([*self._members.living, *self._owned.expected])
        self._owned.release()
        self._followed.owners_changed()

    def _announce(self, room_id: str) -> None:
        self._beat(self._owned.heads((room_id,)))

    def _reclaim(self, room_id: str) -> None:
        if room_id in self._hub:
            self._followed.catch_up(room_id)

    def _beat_message(
        self, heads: Mapping[str, tuple[str, int]], *, hello: bool = False, bye: bool = False
    ) -> NodeBeat:
        members = self._members
        now = self._clock()
        return NodeBeat(
            members.me, members.my_life, members.term, now, dict(heads), hello=hello, bye=bye, door=self._door
        )

    def _beat(self, heads: Mapping[str, tuple[str, int]] | None = None, *, hello: bool = False) -> None:
        if not self._said_bye:  # it would count as living again
            self._link.say(ALL, self._beat_message(heads or {}, hello=hello))

    # Messages of other nodes

    def _receive(self, carried: Carried) -> None:
        message = decode(carried.body)
        match message:
            case Out():
                self._members.term = max(self._members.term, term_of(message.message.epoch or ""))
                self._followed.receive(message.message)
            case NodeBeat():
                self._on_beat(message)
            case Forward():
                self._forwarded.obey(message)
            case Reply():
                self._forwarded.replied(message)
            case AskHistory():
                self._owned.tell(message)
            case Told():
                if message.node == self._members.me:
                    self._followed.told(message)
            case RoomUsers():
                self._on_users(message)
            case RoomHandover():
                self._followed.handed_over(message)
            case Handed():
                if self._members.my_life in message.lives:
                    self._owned.expect_no_more(message.node)
            case None:
                _log.warning("the carrier brought something that no node of ours sends")

    def _on_beat(self, beat: NodeBeat) -> None:
        members = self._members
        members.term = max(members.term, beat.term)
        if beat.node == members.me:
            if beat.life == members.my_life:
                self._look_at_lease()  # before this heartbeat's return renews it
                self.trips.add(max(0.0, self._clock() - beat.sent))
                back = members.echoed(beat.sent)
                self._echo.set()
                if back and members.ready and self._owned.check_lease():
                    self._expect_handovers()
                    self._living_changed()
                    self._beat(hello=True)
                self._bury_ended(beat.sent)
            return
        before = members.life(beat.node)
        changed = False
        if beat.bye:
            changed = members.gone(beat.node, beat.life)
            if changed:
                self._owned.expect((beat.node,))
                self._lines.let_go(beat.node)
                self._hub.without_node(beat.node)
        elif not (beat.hello and before != beat.life):  # who only asks for the state does not count yet
            changed = members.heard(beat.node, beat.life)
            if changed:
                if before is not None:  # it was started anew before the end of its former process was noticed
                    self._hub.without_node(beat.node)
                self._owned.expect((beat.node,))
                self._lines.hold(beat.node, beat.life, beat.door)
        for room_id, (epoch, offset) in beat.heads.items():
            self._followed.head(room_id, epoch, offset)
        if beat.hello and members.ready and not self._said_bye:
            self._beat(self._owned.heads())
            self._owned.release()
            for room_id in self._hub:
                if users := self._hub[room_id].presence.told:
                    self._tell_users(room_id, users)
        if changed and members.ready:
            self._living_changed()
            if not beat.bye:
                self._beat(hello=True)  # asks for what that node has announced before

    def _gap(self, reason: str) -> None:
        if self._members.ready:
            self._beat(hello=True)

    def _link_changed(self, up: bool, reason: str) -> None:
        if up:
            self._beat(hello=True)

    # Presence

    def _tell_users(self, room_id: str, users: list[str]) -> None:
        self._link.say(ALL, RoomUsers(self._members.me, self._members.my_life, room_id, users))

    def _ask_users(self, room_id: str) -> None:
        self._link.say(ALL, RoomUsers(self._members.me, self._members.my_life, room_id, [], ask=True))

    def _on_users(self, users: RoomUsers) -> None:
        if users.node == self._members.me or users.room not in self._hub:
            return
        # Nothing counts of a process that has ended, or is not known yet: when its first heartbeat is heard,
        # it is asked for its users.
        if self._members.life(users.node) == users.life:
            self._hub.elsewhere(users.room, users.node, users.users)
        if users.ask and not self._said_bye and (told := self._hub[users.room].presence.told):
            self._tell_users(users.room, told)
