"""The state of one server: creates and connects its rooms, sessions, connections and broker."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtlab.processes.monotonic_clock_boot_id import boot_id
from rtlab.server.auth.role_permissions import may
from rtlab.server.authorization_while_connected import Reauthorization
from rtlab.server.brokers.room_publishing_interface import Broker
from rtlab.server.brokers.single_node_broker import SingleNodeBroker
from rtlab.server.connect_request_parser import ConnectRequest
from rtlab.server.connection_registry import Connections
from rtlab.server.deliberate_security_holes import Commands, by_name, may_by_prefix
from rtlab.server.drain import drain
from rtlab.server.event_loop.turn_duration_meter import TurnMeter
from rtlab.server.event_loop.work_slice_scheduler import Turns
from rtlab.server.handlers import Services, publish
from rtlab.server.ingress.message_entry_point import Ingress
from rtlab.server.ingress.message_rate_limit import LimitRate
from rtlab.server.ingress.optional_message_checks import make_steps
from rtlab.server.periodic_upkeep import Upkeep
from rtlab.server.rooms.fan_out import FanOut
from rtlab.server.rooms.name_and_join_rules import MAX_ROOMS, is_name
from rtlab.server.rooms.presence_announcements import Announcer
from rtlab.server.rooms.room_membership_hub import Hub
from rtlab.server.server_options import Options
from rtlab.server.sessions.outbox_deduplication_and_fencing import Producers
from rtlab.server.sessions.session_registry_and_expiry import Sessions
from rtlab.server.sessions.slow_consumer_queue import OverflowRules
from rtlab.server.staggered_heartbeats import Heartbeats

if TYPE_CHECKING:
    from rtlab.server.auth.request_authentication import Authority

__all__ = ["Node"]


class Node:
    """Everything that the transports of one server share.

    Parameters
    ----------
    options : Options
        The server's options.
    clock : callable
        Seconds, monotonic.
    make_broker : callable
        Makes the broker that rooms publish through; the server's own memory by default.
    wall_clock : callable
        Seconds since 1970, by which tokens expire.

    Attributes
    ----------
    hub, sessions, producers, connections, ingress, upkeep, heartbeats
        The rooms; the sessions; the results of clients' numbered messages; the open connections; the
        entry point of clients' messages; periodic work; the heartbeats of connections.
    broker : Broker
        The broker that rooms publish through.
    turns, turn_meter
        Divides work among turns of the event loop; measures how long these take.
    overflow : OverflowRules
        What happens to messages that clients read too slowly, and how often it happened.
    rate_limits : list of LimitRate
        The rate limits of the options, each with a count of refused messages.
    authority : Authority or None
        Checks credentials; None in the open setting.
    access_log : deque of str
        The newest requests; empty in the open setting.
    stopping : bool
        Whether `stop` was called: then no connection is accepted.
    handshakes_refused : int
        Requests refused because the queue of handshakes was full.
    page_origin : str or None
        An origin that is allowed besides `Options.origins`; None for no other. The operator sets it
        while a page of that origin is in use.
    """

    def __init__(
        self,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
        make_broker: Callable[[Hub], Broker] = SingleNodeBroker,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.options = options
        self.clock = clock
        self.stopping = False
        self.handshakes_refused = 0
        self.page_origin: str | None = None
        self.started = clock()
        self._announcer = Announcer(lambda: self.hub.announce())
        self.turn_meter = TurnMeter(clock)
        self.turns = Turns(clock, working=self.turn_meter.working)
        self.hub = Hub(
            clock,
            options.hub,
            presence_changed=self._announcer.changed,
            spent=self.turns.spent,
            fan_out=FanOut(self.turns),
        )
        self.overflow = OverflowRules(options.overflow, clock)
        self.sessions = Sessions(clock, options.sessions, rules=self.overflow, fan_out=self.hub.fan_out)
        self.connections = Connections(options, self.hub, self.sessions, clock, boot_id())
        self.producers = Producers(clock, options.producers)
        self.broker = make_broker(self.hub)
        services = Services(self.hub, self.broker, self.producers, clock, self.turns, self.overflow)
        self.rate_limits = [LimitRate(limit) for limit in options.rate_limits]
        self.access_log: deque[str] = deque(maxlen=1000)
        self.authority: Authority | None = None
        self._reauthorization: Reauthorization | None = None
        if options.security != "open":
            # Imported here: its cryptography takes a sixth of a second to import; an open server needs none.
            from rtlab.server.auth.request_authentication import Authority

            self.authority = Authority(
                options.token,
                options.security,
                access_ttl=options.token_ttl,
                refresh_ttl=options.refresh_ttl,
                ticket_ttl=options.ticket_ttl,
                clock=wall_clock,
            )
            reauthorization = self._reauthorization = Reauthorization(
                self.authority,
                self.connections,
                self.sessions,
                self.hub,
                may_by_prefix if options.security == "naive" else may,
                options.revalidate,
            )
            services.renew = reauthorization.renew
            self.connections.check_right = reauthorization.check
        if options.schemas is not None and options.security != "naive":  # naive checks only what comes in
            self.hub.check_outgoing = self.sessions.check_outgoing = options.schemas.check
        before, after = make_steps(options, self.rate_limits, self._reauthorization)
        self.ingress = Ingress(
            services,
            options.max_message_bytes,
            self.connections.expel,
            before_decoding=before,
            after_decoding=after,
            other_types=by_name(Commands(options.token)) if options.security == "naive" else publish,
        )
        self.upkeep = Upkeep(self.connections, self.sessions, self.hub)
        self.heartbeats = Heartbeats(options.heartbeat, self.connections.sinks, clock)
        self.connections.when_attached = self.heartbeats.add
        self.upkeep.add(self.producers.expire)
        if self._reauthorization is not None:
            self.upkeep.add(self._reauthorization.enforce)

    @property
    def ready(self) -> bool:
        """Whether the server takes new connections: it is not stopping, full, or cut off from its broker."""
        return not (self.stopping or self.connections.full or self.cut_off)

    @property
    def cut_off(self) -> bool:
        """Whether the broker delivers nothing: clients of this node cannot hear those of other nodes."""
        report = self.broker.report()
        return report is not None and not report["connected"]

    def enforce(self) -> None:
        """Close at once the connections whose token has expired or was revoked."""
        if self._reauthorization is not None:
            self._reauthorization.enforce()

    async def prepare(self, request: ConnectRequest) -> bool:
        """Prepare the rooms that a connection will enter; on a server without a broker, this never waits.

        Parameters
        ----------
        request : ConnectRequest
            The request that is passed to `Connections.accept` next.

        Returns
        -------
        bool
            Whether this had to wait: other clients may have connected meanwhile.
        """
        read = () if request.cursor is None else request.cursor.rooms
        places = {place.room_id: (place.epoch, place.offset) for place in read}
        rooms = filter(is_name, list({**places, **dict.fromkeys(request.rooms)})[:MAX_ROOMS])
        entered = (self.broker.enter(room_id, *places.get(room_id, (None, None))) for room_id in rooms)
        coming = [ready for ready in entered if ready is not None]
        if coming:
            await asyncio.wait(coming)
        return bool(coming)

    def start(self) -> None:
        """Start the periodic work and the turn meter, on the running loop."""
        self.upkeep.start()
        self.turn_meter.start()

    async def stop(self, deadline: float = 1.0) -> None:
        """Close every connection (see `drain`), and stop all periodic work.

        Parameters
        ----------
        deadline : float
            Seconds after `Options.stop_window` until connections that are still open are aborted.
        """
        self.stopping = True
        await drain(self.connections, self.sessions, self.options.stop_window, deadline, self.clock)
        self._announcer.stop()
        self.turn_meter.stop()
        await self.upkeep.stop()
        self.heartbeats.stop()
