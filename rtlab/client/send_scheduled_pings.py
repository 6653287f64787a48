"""Carries out a heartbeat policy for one open transport: sends its pings, reports a dead peer."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from rtlab.client.connection_watchers import WireWatch
from rtlab.client.transports.transport_interface import Transport
from rtlab.errors import TransportClosed, describe
from rtlab.policies.missed_heartbeats_and_dead_peers import (
    Beat,
    Dead,
    Heartbeat,
    HeartbeatEvent,
    Pong,
    Received,
    Rtt,
    SendPing,
    Tick,
)
from rtlab.processes.owned_tasks import OwnedTasks

__all__ = ["HeartbeatRunner"]

_log: Final = logging.getLogger("rtlab")


class HeartbeatRunner:
    """Runs one timer, which is always set to the time at which the policy wants its next tick.

    Parameters
    ----------
    heartbeat : Heartbeat
        `Ping`, `Watchdog` or `Sweep`.
    transport : Transport
        The transport to ping; its ``heard`` says when data last arrived.
    clock : callable
        Returns monotonic seconds, on the same clock as ``transport.heard``.
    on_dead : callable
        Called with the reason when the peer is considered dead, or when the policy itself raises.
    wire : WireWatch, optional
        Reports pings and pongs to its watchers.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        transport: Transport,
        clock: Callable[[], float],
        on_dead: Callable[[str], object],
        wire: WireWatch | None = None,
    ) -> None:
        self._heartbeat = heartbeat
        self._transport = transport
        self._clock = clock
        self._on_dead = on_dead
        self._wire = wire or WireWatch()
        self._beat: Beat = heartbeat.start(clock())
        self._tasks = OwnedTasks()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    @property
    def rtt(self) -> Rtt | None:
        """The round-trip estimate from the pings; None before the first answer."""
        return self._beat.rtt

    def pause(self) -> None:
        """Stop judging the peer: while reading is blocked, the peer's answers are unread as well."""
        if self._timer is not None:
            self._timer.cancel()

    def resume(self) -> None:
        """Judge the peer again, from now on; the silence before does not count."""
        if not self._beat.dead:
            fresh = self._heartbeat.start(self._clock())
            self._beat = replace(fresh, number=self._beat.number, rtt=self._beat.rtt)
            self._arm()

    def end(self) -> None:
        """Stop for good, and cancel the pings in flight."""
        self.pause()
        self._beat = replace(self._beat, due=math.inf)
        for task in self._tasks.running:
            task.cancel()

    async def stop(self) -> None:
        """Stop like `end`, and wait until the tasks of the pings have ended."""
        self.end()
        await asyncio.gather(*self._tasks.running, return_exceptions=True)

    def _arm(self) -> None:
        if not self._beat.dead:
            delay = max(0.0, self._beat.due - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._guarded(self._look)

    def _look(self) -> None:
        # Read once per tick: a step of the state machine per message would cost more.
        heard = self._transport.heard
        if heard > self._beat.heard:
            self._step(Received(), heard)
        self._step(Tick(), self._clock())
        self._arm()

    def _guarded(self, steps: Callable[[], None]) -> None:
        try:
            steps()
        except BaseException as error:  # from a user's policy: otherwise a dead peer would go unnoticed
            self._on_dead(f"the heartbeat itself raised {describe(error)}")
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise

    def _step(self, event: HeartbeatEvent, now: float) -> None:
        self._beat, actions = self._heartbeat.step(self._beat, event, now)
        for action in actions:
            match action:
                case SendPing(number):
                    self._tasks.spawn(self._ping(number))
                case Dead(reason):
                    self._on_dead(reason)

    async def _ping(self, number: int) -> None:
        try:
            await self._wire.ping(self._transport)
        except (TransportClosed, TimeoutError):
            return  # the reader of the transport sees its end; the policy judges a missing answer
        except Exception as error:
            _log.warning("a ping raised %s", describe(error))
            return
        self._guarded(lambda: self._step(Pong(number), self._clock()))
