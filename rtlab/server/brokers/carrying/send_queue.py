"""The queue of messages to a broker: ordered and bounded; each message gets an answer in the end."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final

from rtlab.errors import describe
from rtlab.server.brokers.carrying.carrier_interface import LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_cancellation import driver_call
from rtlab.server.brokers.carrying.driver_interface import BrokerDriver, Outgoing
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["LastAccepted", "SendQueue"]

#: Messages that are sent together before the broker's answers are awaited.
_BATCH: Final = 256


class LastAccepted:
    """When the broker accepted a probe, on the loop's clock; infinity before."""

    __slots__ = ("time",)

    def __init__(self) -> None:
        self.time = math.inf

    def note(self, answer: asyncio.Future[None]) -> None:
        """Note the time, unless the answer is an error.

        Parameters
        ----------
        answer : Future of None
            The probe's answer.
        """
        if not answer.cancelled() and answer.exception() is None:
            self.time = answer.get_loop().time()


class SendQueue:
    """Holds messages that are not answered yet, and sends them while there is a link.

    Parameters
    ----------
    driver : BrokerDriver
        Sends the messages.
    limits : CarrierLimits
        How much may wait, and how long.
    """

    def __init__(self, driver: BrokerDriver, limits: CarrierLimits) -> None:
        self._driver = driver
        self._limits = limits
        self._queue: deque[Outgoing] = deque()
        self._flight: list[Outgoing] = []
        self._bytes = 0
        #: How many messages the broker has answered.
        self.answered = 0
        self._writing = False
        self._more = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many messages have no answer yet."""
        return len(self._queue) + len(self._flight)

    def put(self, name: str, body: bytes, message_id: str | None, away: str) -> asyncio.Future[None]:
        """Add a message.

        Parameters
        ----------
        name, body, message_id
            As for `Outgoing`.
        away : str
            Text for the error that says why the link is down; empty when it is up.

        Returns
        -------
        Future of None
            The broker's answer.

        Raises
        ------
        BrokerFailed
            When the message is too large, or too much waits already.
        """
        limit = self._driver.max_bytes
        if limit is not None and len(body) > limit:
            raise BrokerFailed(
                f"the message takes {len(body):,} bytes, {self._driver.label} takes {limit:,}: "
                "send less, or raise the limit there"
            )
        if (
            self.waiting >= self._limits.waiting_messages
            or self._bytes + len(body) > self._limits.waiting_bytes
        ):
            raise BrokerFailed(
                f"{self.waiting:,} messages ({self._bytes:,} bytes) wait for {self._driver.label} already, "
                f"no more are held{away}"
            )
        return self._add(name, body, message_id)

    def put_probe(self, name: str, body: bytes) -> LastAccepted:
        """Add a probe, however much waits already.

        Parameters
        ----------
        name, body
            As for `Outgoing`.

        Returns
        -------
        LastAccepted
            Holds the time at which the broker accepts the probe.
        """
        accepted = LastAccepted()
        self._add(name, body, None).add_done_callback(accepted.note)
        return accepted

    def _add(self, name: str, body: bytes, message_id: str | None) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        expires = loop.time() + self._limits.wait_timeout
        self._queue.append(Outgoing(name, body, message_id, answer, expires))
        self._bytes += len(body)
        self._more.set()
        if self._timer is None:
            self._timer = loop.call_at(expires, self._expire)
        return answer

    async def write(self) -> None:
        """Send waiting and further messages as long as one link lasts.

        Raises
        ------
        LinkLost
            When the link does not answer, or breaks.
        """
        self._writing = True
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                while self._queue:
                    await self._send_some()
        finally:
            self._writing = False

    async def _send_some(self) -> None:
        flight: list[Outgoing] = []
        self._flight = flight
        while self._queue and len(flight) < _BATCH:
            message = self._queue.popleft()
            if message.answer.done():
                self._bytes -= len(message.body)
            else:
                flight.append(message)
        if not flight:
            return
        try:
            async with asyncio.timeout(self._limits.answer_timeout):
                with driver_call():
                    results = await self._driver.send(flight)
        except TimeoutError:
            raise LinkLost(f"no answer within {self._limits.answer_timeout:g} s") from None
        except BrokerFailed:
            raise
        except Exception as error:
            raise LinkLost(describe(error)) from error
        self._flight = []
        self.answered += len(flight)
        for message, error in zip(flight, results, strict=True):
            self._answer(message, error)

    def link_lost(self, reason: str) -> None:
        """Settle messages that were sent and not answered: queue them again if the broker drops repeats.

        Parameters
        ----------
        reason : str
            Why the link was lost.
        """
        flight, self._flight = self._flight, []
        again: list[Outgoing] = []
        for message in flight:
            if self._driver.capabilities.dedupe and message.message_id is not None:
                again.append(message)
            else:
                text = f"the link to {self._driver.label} was lost before its answer ({reason})"
                self._answer(message, LinkLost(f"{text}: it may have been published all the same"))
        self._queue.extendleft(reversed(again))
        if self._queue:
            self._more.set()

    def fail_all(self, reason: str) -> None:
        """Answer every waiting message with `BrokerFailed`.

        Parameters
        ----------
        reason : str
            Text of the error.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for message in (*self._flight, *self._queue):
            self._answer(message, BrokerFailed(reason))
        self._flight = []
        self._queue.clear()

    def _answer(self, message: Outgoing, error: Exception | None) -> None:
        self._bytes -= len(message.body)
        if message.answer.done():
            return
        if error is None:
            message.answer.set_result(None)
        else:
            message.answer.set_exception(error)

    def _expire(self) -> None:
        """Fail messages that have waited too long for a link; arm the timer for the next one."""
        loop = asyncio.get_running_loop()
        while not self._writing and self._queue and self._queue[0].expires <= loop.time():
            text = f"the link to {self._driver.label} was away for {self._limits.wait_timeout:g} s"
            self._answer(self._queue.popleft(), BrokerFailed(f"{text}: not published"))
        self._timer = None
        if self._queue:
            again = max(self._queue[0].expires, loop.time() + self._limits.wait_timeout / 10)
            self._timer = loop.call_at(again, self._expire)
