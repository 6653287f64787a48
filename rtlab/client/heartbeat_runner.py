"""Carries out a heartbeat policy for one open transport: pings, and the verdict."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from rtlab.client.transports.base import Transport
from rtlab.errors import TransportClosed
from rtlab.policies.heartbeat import Beat, Dead, Event, Heartbeat, Pong, Received, Rtt, SendPing, Tick

__all__ = ["Pulse"]

_log: Final = logging.getLogger("rtlab")


class Pulse:
    """Runs one timer, at the time that the policy wants next.

    Parameters
    ----------
    heartbeat : Heartbeat
        `Ping`, `Watchdog` or `Sweep`.
    transport : Transport
        What to ping, and whose ``heard`` to look at.
    clock : callable
        Monotonic seconds, the clock of ``transport.heard``.
    on_dead : callable
        Called once, with the reason.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        transport: Transport,
        clock: Callable[[], float],
        on_dead: Callable[[str], object],
    ) -> None:
        self._heartbeat = heartbeat
        self._transport = transport
        self._clock = clock
        self._on_dead = on_dead
        self._beat: Beat = heartbeat.start(clock())
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    @property
    def rtt(self) -> Rtt | None:
        """The round trip as estimated from the pings, None before the first answer."""
        return self._beat.rtt

    def pause(self) -> None:
        """Stop judging: nobody reads, so that answers wait unread, too."""
        if self._timer is not None:
            self._timer.cancel()

    def resume(self) -> None:
        """Judge again, from now on."""
        if not self._beat.dead:
            fresh = self._heartbeat.start(self._clock())
            self._beat = replace(fresh, number=self._beat.number, rtt=self._beat.rtt)
            self._arm()

    def end(self) -> None:
        """Ping no more, and give up the pings under way."""
        self.pause()
        self._beat = replace(self._beat, due=math.inf)
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """End, and wait until the pings are gone."""
        self.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _arm(self) -> None:
        if not self._beat.dead:
            delay = max(0.0, self._beat.due - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        # Reading this once a beat spares every message a step of the machine.
        heard = self._transport.heard
        if heard > self._beat.heard:
            self._step(Received(), heard)
        self._step(Tick(), self._clock())
        self._arm()

    def _step(self, event: Event, now: float) -> None:
        self._beat, actions = self._heartbeat.step(self._beat, event, now)
        for action in actions:
            match action:
                case SendPing(number):
                    task = asyncio.get_running_loop().create_task(self._ping(number))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                case Dead(reason):
                    self._on_dead(reason)

    async def _ping(self, number: int) -> None:
        try:
            await self._transport.ping()
        except (TransportClosed, TimeoutError):
            return  # the reader hears of an end; a late pong is the policy's business
        except Exception as error:
            _log.warning("a ping broke: %r", error)
            return
        self._step(Pong(number), self._clock())
