"""A carrier over any driver: reconnects, queues messages, detects dead links, and announces gaps."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncGenerator
from functools import partial
from typing import Final

from rtlab.errors import describe
from rtlab.server.brokers.carrying.carrier_interface import (
    Capabilities,
    Carried,
    CarriedHandler,
    CarrierSubscription,
    GapHandler,
    LinkHandler,
    LinkLost,
)
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_cancellation import driver_call
from rtlab.server.brokers.carrying.driver_interface import BrokerDriver
from rtlab.server.brokers.carrying.send_queue import SendQueue
from rtlab.server.brokers.carrying.subject_names import full_name, probe_name
from rtlab.server.brokers.carrying.subscribed_subject import Listening, SubjectHandler, report
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["ReconnectingCarrier"]

#: Each pause before another attempt to connect is this many times the pause before.
_GROWTH: Final = 2.0


class ReconnectingCarrier:
    """See `Carrier`.

    Parameters
    ----------
    driver : BrokerDriver
        Connects to one kind of broker.
    namespace : str
        Part of every subject's name, so that two labs on one broker do not hear each other.
    limits : CarrierLimits
        Timeouts and limits.
    """

    def __init__(self, driver: BrokerDriver, namespace: str, limits: CarrierLimits) -> None:
        self._driver = driver
        self._namespace = namespace
        self._limits = limits
        self._queue = SendQueue(driver, limits)
        self._listening: dict[str, Listening] = {}
        self._link_handlers: list[LinkHandler] = []
        self._changing = asyncio.Lock()  # held while connecting, attaching or detaching
        self._lost: asyncio.Future[str] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._is_up = asyncio.Event()
        self._closed = False
        self._reason = "it was not opened"
        self._probe_word = uuid.uuid4().hex.encode()
        self._probe_number = 0
        self._probe_heard = 0

    def __repr__(self) -> str:
        return f"<ReconnectingCarrier: {self._driver.label}, {'up' if self.up else 'away'}>"

    @property
    def capabilities(self) -> Capabilities:
        """See `Carrier.capabilities`."""
        return self._driver.capabilities

    @property
    def label(self) -> str:
        """See `Carrier.label`."""
        return self._driver.label

    @property
    def up(self) -> bool:
        """See `Carrier.up`."""
        return self._is_up.is_set()

    @property
    def waiting(self) -> int:
        """How many messages have no answer from the broker yet."""
        return self._queue.waiting

    async def open(self) -> None:
        """See `Carrier.open`."""
        if self._keeper is not None or self._closed:
            raise BrokerFailed("expected a carrier that was never opened: make another with carrier_for")
        name = probe_name(self._namespace)
        probe = self._listening[name] = Listening(name, name)
        probe.places.append(SubjectHandler(self._hear_probe, None))
        try:
            await self._establish_in_time()
        except BaseException:
            self._closed = True
            raise
        self._go_up()
        self._keeper = asyncio.create_task(self._keep(), name=f"link to {self.label}")

    async def close(self) -> None:
        """See `Carrier.close`."""
        self._closed = True
        keeper, self._keeper = self._keeper, None
        self._is_up.clear()
        self._reason = "the carrier was closed"
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait((keeper,))
            await self._disconnect()
        self._listening.clear()
        self._queue.fail_all(f"the link to {self.label} was closed: not published")

    def publish(self, subject: str, body: bytes, *, message_id: str | None = None) -> asyncio.Future[None]:
        """See `Carrier.publish`."""
        if self._closed or self._keeper is None:
            raise BrokerFailed(f"no link to {self.label}: {self._reason}")
        return self._queue.put(full_name(self._namespace, subject), body, message_id, self._away())

    async def subscribe(
        self, subject: str, handler: CarriedHandler, on_gap: GapHandler | None = None
    ) -> CarrierSubscription:
        """See `Carrier.subscribe`."""
        name = full_name(self._namespace, subject)
        place = SubjectHandler(handler, on_gap)
        async with self._link():
            while True:
                await self._is_up.wait()
                async with self._changing:
                    if self.up and await self._join(name, subject, place):
                        return _Subscription(self, name, place)
                await asyncio.sleep(0)

    async def history(self, subject: str, limit: int) -> list[Carried]:
        """See `Carrier.history`."""
        if not self.capabilities.replay:
            raise BrokerFailed(f"{self.label} keeps no history: `Capabilities.replay` is not declared")
        name = full_name(self._namespace, subject)
        async with self._link():
            await self._is_up.wait()
            try:
                with driver_call():
                    found = await self._driver.read(name, limit)
            except BrokerFailed:
                raise
            except Exception as error:
                raise BrokerFailed(f"{self.label} did not read its history: {describe(error)}") from error
        return [Carried(subject, body, message_id) for body, message_id in found]

    def on_link(self, handler: LinkHandler) -> None:
        """See `Carrier.on_link`."""
        self._link_handlers.append(handler)

    async def leave(self, name: str, place: SubjectHandler) -> None:
        """Remove a handler; with the last one of a subject, its delivery ends.

        Parameters
        ----------
        name : str
            The subject's name at the broker.
        place : SubjectHandler
            The handler's place.
        """
        async with self._changing:
            listening = self._listening.get(name)
            if listening is None or place not in listening.places:
                return
            listening.places.remove(place)
            if listening.places:
                return
            del self._listening[name]
            if self.up:
                try:
                    async with asyncio.timeout(self._limits.answer_timeout):
                        with driver_call():
                            await self._driver.detach(listening)
                except Exception as error:
                    self._report(self._lost, describe(error))

    # Below: how the link is opened, used, lost, and opened again

    @contextlib.asynccontextmanager
    async def _link(self) -> AsyncGenerator[None]:
        """Limit how long a block waits for the link."""
        if self._closed or self._keeper is None:
            raise BrokerFailed(f"no link to {self.label}: {self._reason}")
        try:
            async with asyncio.timeout(self._limits.wait_timeout):
                yield
        except TimeoutError:
            raise BrokerFailed(
                f"no answer from {self.label} within {self._limits.wait_timeout:g} s{self._away()}"
            ) from None

    async def _join(self, name: str, subject: str, place: SubjectHandler) -> bool:
        """Add a handler; return False if the link was lost meanwhile."""
        listening = self._listening.get(name)
        if listening is None:
            listening = Listening(name, subject)
            try:
                await self._attach(listening)
            except BrokerFailed as error:
                if not isinstance(error, LinkLost):
                    raise
                self._report(self._lost, str(error))
                return False
            except Exception as error:
                self._report(self._lost, describe(error))
                return False
            self._listening[name] = listening
        listening.places.append(place)
        return True

    async def _attach(self, listening: Listening) -> None:
        again = listening.attached
        with listening.holding() as told, driver_call():
            whole = await self._driver.attach(listening)
            listening.attached = True
            if again and not whole:
                told.append(f"the link to {self.label} was away ({self._reason})")

    async def _establish_in_time(self) -> None:
        """Establish the first link; try again if the broker accepts the connection and then closes it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.connect_timeout
        while True:
            try:
                return await self._establish()
            except LinkLost:
                pause = random.uniform(0.5, 1) * self._limits.first_pause
                if loop.time() + pause > end:
                    raise
                await asyncio.sleep(pause)

    async def _establish(self) -> None:
        """Connect, and attach all subscribed subjects; raise `BrokerFailed` if that fails."""
        lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._lost = lost
        try:
            async with self._changing, asyncio.timeout(self._limits.connect_timeout):
                with driver_call():
                    await self._driver.connect(partial(self._report, lost))
                for listening in list(self._listening.values()):
                    await self._attach(listening)
        except BaseException as error:
            await self._disconnect()
            if isinstance(error, ConnectionRefusedError):
                text = f"nobody listens there: start {self.label}, or look at the URL"
            elif isinstance(error, TimeoutError):
                text = f"no answer within {self._limits.connect_timeout:g} s: is it really {self.label}?"
            elif isinstance(error, BrokerFailed) or not isinstance(error, Exception):
                raise
            else:
                text = f"could not connect to {self.label}: {describe(error)}"
            raise BrokerFailed(text) from error

    async def _disconnect(self) -> None:
        """Close the link. If this wait is cancelled, the closing goes on, and `close` waits for it."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_link(), name=f"end of the link to {self.label}")
        await asyncio.wait((self._ending,))
        self._ending = None

    async def _end_link(self) -> None:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._limits.connect_timeout):
                await self._driver.disconnect()

    async def _keep(self) -> None:
        """Use the link until it is lost, then connect again, for ever."""
        while True:
            self._go_down(await self._serve())
            await self._disconnect()
            pause = self._limits.first_pause
            while True:
                await asyncio.sleep(random.uniform(pause / 2, pause))
                try:
                    await self._establish()
                    break
                except BrokerFailed as error:
                    self._reason = str(error)
                    pause = min(pause * _GROWTH, self._limits.longest_pause)
            self._go_up()

    async def _serve(self) -> str:
        """Send queued messages and probes until the link is lost; return the reason."""
        assert self._lost is not None
        tasks = (asyncio.create_task(self._queue.write()), asyncio.create_task(self._probe()))
        try:
            await asyncio.wait((self._lost, *tasks), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        ends = [task.exception() for task in tasks if not task.cancelled()]
        if self._lost.done():
            return self._lost.result()
        return "; ".join(str(end) if isinstance(end, BrokerFailed) else describe(end) for end in ends if end)

    async def _probe(self) -> None:
        """Publish probes to this carrier itself: a link that takes messages but delivers none is lost.

        A link that is only slow is not: it answers messages while the probe waits for its turn.
        """
        interval = self._limits.probe_interval
        loop = asyncio.get_running_loop()
        name = probe_name(self._namespace)
        while True:
            self._probe_number += 1
            accepted = self._queue.put_probe(name, b"%s %d" % (self._probe_word, self._probe_number))
            answered, looked = self._queue.answered, loop.time()
            with contextlib.suppress(TimeoutError):  # then the probe is late too
                async with asyncio.timeout(interval):
                    with driver_call():
                        await self._driver.check()
            while True:
                await asyncio.sleep(max(0.0, looked + interval - loop.time()))
                if self._probe_heard == self._probe_number:
                    break
                behind = self._queue.answered > answered and accepted.time > looked + interval / 2
                if not behind:
                    raise LinkLost(
                        f"it delivers nothing: a probe has not come back for {interval:g} s; does the broker "
                        "stand still, or is its disk full? Its log may say so"
                    )
                answered, looked = self._queue.answered, loop.time()

    def _hear_probe(self, message: Carried) -> None:
        word, _, number = message.body.partition(b" ")
        if word == self._probe_word:
            self._probe_heard = int(number)

    def _report(self, lost: asyncio.Future[str] | None, reason: str) -> None:
        if lost is not None and not lost.done():
            lost.set_result(reason)

    def _away(self) -> str:
        return "" if self.up else f": the link is away ({self._reason})"

    def _go_up(self) -> None:
        self._is_up.set()
        self._tell(True, "")

    def _go_down(self, reason: str) -> None:
        self._is_up.clear()
        self._reason = reason
        self._queue.link_lost(reason)
        self._tell(False, reason)

    def _tell(self, up: bool, reason: str) -> None:
        for handler in self._link_handlers:
            try:
                handler(up, reason)
            except Exception as error:
                report(error, "a link handler failed")


class _Subscription:
    """See `CarrierSubscription`."""

    __slots__ = ("_carrier", "_name", "_place")

    def __init__(self, carrier: ReconnectingCarrier, name: str, place: SubjectHandler) -> None:
        self._carrier, self._name, self._place = carrier, name, place

    async def close(self) -> None:
        """See `CarrierSubscription.close`."""
        self._place.closed = True
        await self._carrier.leave(self._name, self._place)
