"""One server's state: its rooms, sessions, connections and broker, put together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from rtlab.processes.host_clock import boot_id
from rtlab.server.auth.rights import may
from rtlab.server.brokers.base import Broker
from rtlab.server.brokers.standalone_broker import MemoryBroker
from rtlab.server.connect_request import ConnectRequest
from rtlab.server.drain import drain
from rtlab.server.handlers import Services, publish
from rtlab.server.heartbeats import Heartbeats
from rtlab.server.ingress import Ingress
from rtlab.server.loop_turn_meter import TurnMeter
from rtlab.server.loop_turns import Turns
from rtlab.server.message_deduplication import Producers
from rtlab.server.naive import Commands, by_name, may_by_prefix
from rtlab.server.options import Options
from rtlab.server.reauthorization import Reauthorization
from rtlab.server.rooms.entry_rules import MAX_ROOMS, is_name
from rtlab.server.rooms.fan_out import FanOut
from rtlab.server.rooms.hub import Hub
from rtlab.server.session_connections import Connections
from rtlab.server.session_registry import Sessions
from rtlab.server.slow_consumer_queue import OverflowRules
from rtlab.server.steps.rate_limit import LimitRate
from rtlab.server.steps.selection import make_steps
from rtlab.server.upkeep import Announcer, Upkeep

if TYPE_CHECKING:
    from rtlab.server.auth.authority import Authority

__all__ = ["Node"]


class Node:
    """Everything that the transports of one server share.

    Parameters
    ----------
    options : Options
        How it behaves.
    clock : callable
        Seconds, monotonic.
    make_broker : callable
        Makes what rooms publish through; the server's own memory by default.
    wall_clock : callable
        Seconds since 1970: tokens say when they end by it.

    Attributes
    ----------
    hub, sessions, producers, connections, ingress, upkeep, heartbeats
        Rooms; streams of messages; what was handled of the clients' own; what carries them; the way
        in; what has to be done regularly.
    broker : Broker
        What rooms publish through.
    turns, turn_meter
        Slices of work, and how long they took.
    broker : Broker
        What rooms publish through.
    overflow : OverflowRules
        What becomes of messages that clients do not read, and how many did.
    rate_limits : list of LimitRate
        Those of its options, each with what it refused.
    authority : Authority or None
        Who knows tokens; None in the open setting.
    access_log : deque of str
        The newest requests, where the setting keeps a log.
    stopping : bool
        Whether `stop` was called: nobody new is let in.
    handshakes_refused : int
        Requests that found no place in the queue of handshakes.
    page_origin : str or None
        Whose pages are let in besides those of `Options.origins`, for as long as somebody shows one.
    """

    def __init__(
        self,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
        make_broker: Callable[[Hub], Broker] = MemoryBroker,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.options = options
        self.clock = clock
        self.stopping = False
        self.handshakes_refused = 0
        self.page_origin: str | None = None
        self.started = clock()
        self._announcer = Announcer(lambda: self.hub.announce())
        self.turns = Turns(clock)
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
        self.turn_meter = TurnMeter(clock)
        self.producers = Producers(clock, options.producers)
        self.broker = make_broker(self.hub)
        services = Services(self.hub, self.broker, self.producers, clock, self.turns, self.overflow)
        self.rate_limits = [LimitRate(limit) for limit in options.rate_limits]
        self.access_log: deque[str] = deque(maxlen=1000)
        self.authority: Authority | None = None
        self._reauthorization: Reauthorization | None = None
        if options.security != "open":
            # Brings a sixth of a second of cryptography, which an open server's start is spared.
            from rtlab.server.auth.authority import Authority

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
        if options.schemas is not None and options.security != "naive":  # which looks once, at first values
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
        """Whether it takes new connections: it neither stops, nor is full, nor is cut off."""
        return not (self.stopping or self.connections.full or self.cut_off)

    @property
    def cut_off(self) -> bool:
        """Whether its broker delivers nothing: whoever connects here hears nobody who is elsewhere."""
        report = self.broker.report()
        return report is not None and not report["connected"]

    def enforce(self) -> None:
        """End, now, the connections whose token has ended."""
        if self._reauthorization is not None:
            self._reauthorization.enforce()

    async def prepare(self, request: ConnectRequest) -> bool:
        """Make ready the rooms that a connection will enter; at once where this server stands alone.

        Parameters
        ----------
        request : ConnectRequest
            What `Connections.accept` will be given next.

        Returns
        -------
        bool
            Whether that took time, in which others may have come.
        """
        places = () if request.cursor is None else request.cursor.rooms
        rooms = dict.fromkeys((*(place.room_id for place in places), *request.rooms))
        legal = (room_id for room_id in list(rooms)[:MAX_ROOMS] if is_name(room_id))
        coming = [ready for ready in map(self.broker.enter, legal) if ready is not None]
        if coming:
            await asyncio.wait(coming)
        return bool(coming)

    def start(self) -> None:
        """Begin the upkeep, on the running loop."""
        self.upkeep.start()
        self.turn_meter.start()

    async def stop(self, deadline: float = 1.0) -> None:
        """End every connection: streams and polls first, then 1012, spread over the window.

        Parameters
        ----------
        deadline : float
            Seconds after the window until those that did not leave are cut off.
        """
        self.stopping = True
        await drain(self.connections, self.sessions, self.options.stop_window, deadline, self.clock)
        self._announcer.stop()
        self.turn_meter.stop()
        await self.upkeep.stop()
        self.heartbeats.stop()
