"""Graceful degradation done right: WebSocket, else an event stream, else long polling.

That a constructor returned proves nothing, and neither does an open socket: a proxy
can accept a connection, answer and still let no message through. A transport counts as
working once the server's first message has arrived within a deadline. A foreign server
(not rtlab's) may wait for the client to speak first: there, the answer to a ping counts.

Terms: a *transport* carries messages over one connection, and is used once. A *candidate*
is a name and a factory of such transports. A *trial* is one attempt with a candidate, in a
connect or in a probe. To *climb* is to move to a better transport while messages flow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, MutableSequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from rtlab.client.breaker_shared_per_origin import CircuitBreaker
from rtlab.client.transports.transport_interface import DeliverDirectly, Transport
from rtlab.errors import ConnectFailed, MessageError, TransportClosed
from rtlab.patterns.transport_blocklist import Blocklist
from rtlab.patterns.transport_choice_strategy import BEST_FIRST, Strategy
from rtlab.patterns.transport_handover import Handover
from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume

__all__ = ["Fallback", "Owner", "Trial"]

_FAILURES: Final = (ConnectFailed, TransportClosed, MessageError, TimeoutError)


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one attempt with a candidate.

    Parameters
    ----------
    candidate : str
        The candidate's name.
    outcome : {"works", "refused", "skipped", "probed"}
        ``"works"``: in use from then on. ``"probed"``: answered a ping, beside the one in use.
    reason : str
        Why it was refused or skipped, in one sentence.
    seconds : float
        How long the attempt took.
    """

    candidate: str
    outcome: str
    reason: str = ""
    seconds: float = 0.0


class Owner(NamedTuple):
    """What a connection gives to a `Fallback` so that it can climb while messages flow.

    Parameters
    ----------
    spawn : callable
        Runs a coroutine as a task that the connection cancels and awaits.
    resume : callable
        Returns the session, and the position in it from which to resume.
    moved : callable
        Called with the former transport's name, the new one's, and the ``welcome`` message.
    """

    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    resume: Callable[[], Resume]
    moved: Callable[[str, str, Message], object]


class Fallback(Handover):
    """Carries messages over whichever candidate works, and climbs to a better one.

    The connection above sees a single transport: its state machine and its session
    resumption do not depend on the transport beneath.

    Parameters
    ----------
    origin : str
        The key for `blocklist`.
    candidates : mapping
        Name → function that makes a transport, best first.
    blocklist : Blocklist
        Remembers which transports failed.
    deadline : float
        Seconds that each candidate has for its first message, or for the answer to a probe.
    breakers : mapping
        A `CircuitBreaker` per name; a candidate with an open one is skipped.
    trials : list
        The fallback appends each `Trial` to it.
    strategy : Strategy
        Decides the order of candidates, and when to probe better ones.
    owner : Owner, optional
        The connection above; without it, the fallback never climbs.
    rng : numpy.random.Generator, optional
        The source of the probes' jitter.
    """

    def __init__(
        self,
        origin: str,
        candidates: Mapping[str, Callable[[], Transport]],
        blocklist: Blocklist,
        *,
        deadline: float,
        breakers: Mapping[str, CircuitBreaker],
        trials: MutableSequence[Trial],
        strategy: Strategy = BEST_FIRST,
        owner: Owner | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__("fallback", patience=deadline)
        self._origin = origin
        self._candidates = candidates
        self._blocklist = blocklist
        self._deadline = deadline
        self._breakers = breakers
        self._trials = trials
        self._strategy = strategy
        self._owner = owner
        self._rng = rng if rng is not None else np.random.default_rng()
        self._opened_at = 0.0
        self._climbing: asyncio.Task[None] | None = None

    async def open(self, resume: Resume) -> Message | None:
        """Try the candidates in order; return the first one's first message.

        Raises
        ------
        ConnectFailed
            No candidate works; the message says why, for each.
        """
        refusals: list[str] = []
        failed: dict[str, Exception] = {}
        known = {name: self._blocklist.blocked(self._origin, name) for name in self._candidates}
        opening = self._strategy.opening(
            tuple(self._candidates), {name for name, why in known.items() if why}
        )
        for name in opening.later:
            self._note(name, "skipped", f"remembered: {known[name]}")
        for name in (*opening.now, *opening.later):
            if self._held_back(name):
                refusals.append(f"{name}: its circuit breaker is open")
                continue
            began = self._blocklist.clock()
            transport = self._candidates[name]()
            try:
                async with asyncio.timeout(self._deadline):
                    welcome = await transport.open(resume)
                    if welcome is None:  # a foreign server, or its messages are held back
                        await transport.ping()
            except _FAILURES as error:
                transport.abort()
                failed[name] = error
                refusals.append(f"{name}: {self._refused(name, error, began)}")
                continue
            except BaseException:
                transport.abort()
                raise
            self._worked(name, "works", began)
            # The server answers, so the other candidates failed by themselves: avoid them.
            for other, error in failed.items():
                self._block(other, error)
            self.begin(name, transport)
            self._opened_at = self._blocklist.clock()
            if welcome is not None and self._owner is not None:
                self._climbing = self._owner.spawn(self._climb(self._owner))
            return welcome
        hints = [
            hint for error in failed.values() if (hint := getattr(error, "retry_after", None)) is not None
        ]
        if not failed:  # all breakers are open: wait for the first that lets a probe out
            hints = [min(self._breakers[name].wait for name in self._candidates)]
        raise ConnectFailed(
            "no transport works. " + "; ".join(refusals),
            retryable=len(failed) < len(self._candidates) or any(map(_retryable, failed.values())),
            retry_after=max(hints, default=None),
            attempts=len(failed),
        )

    # Climbing

    async def _climb(self, owner: Owner) -> None:
        """Probe better candidates while messages flow, and move to one that answers."""
        probes = 0
        names = tuple(self._candidates)
        while better := self._strategy.better(names, self.name):
            wait = self._strategy.wait(probes, self._rng)
            if wait is None:
                return
            await asyncio.sleep(wait)
            probes += 1
            for name in better:
                if self._blocklist.resting(self._origin, name) or self._held_back(name):
                    continue
                if await self._probe(name) and await self._move(name, owner):
                    break

    async def _probe(self, name: str) -> bool:
        """Ping over a candidate, on a separate connection and session, beside the transport in use."""
        began = self._blocklist.clock()
        transport = self._candidates[name]()
        try:
            async with asyncio.timeout(self._deadline):
                await transport.open(Resume())
                await transport.ping()
                await transport.close()
        except _FAILURES as error:
            self._refused(name, error, began)
            self._block(name, error)
            return False
        finally:
            transport.abort()
        self._worked(name, "probed", began)
        return True

    async def _move(self, name: str, owner: Owner) -> bool:
        """Move the session to a candidate."""
        began, former = self._blocklist.clock(), self.name

        def moved(welcome: Message) -> None:
            self._worked(name, "works", began)
            self._blocklist.unblock(self._origin, name)
            self._opened_at = self._blocklist.clock()
            owner.moved(former, name, welcome)

        try:
            transport = self._candidates[name]()
            await self.take_over(name, transport, owner.resume(), self._deadline, moved)
        except _FAILURES as error:
            self._refused(name, error, began)
            return False
        return True

    # Bookkeeping

    def _held_back(self, name: str) -> bool:
        breaker = self._breakers.get(name)
        if breaker is None or breaker.allow():
            return False
        self._note(name, "skipped", "its circuit breaker is open")
        return True

    def _refused(self, name: str, error: Exception, began: float) -> str:
        reason = _reason(error, self._deadline)
        self._note(name, "refused", reason, began)
        if name in self._breakers:
            self._breakers[name].record_failure()
        return reason

    def _worked(self, name: str, outcome: str, began: float) -> None:
        self._note(name, outcome, "", began)
        if name in self._breakers:
            self._breakers[name].record_success()

    def _block(self, name: str, error: Exception) -> None:
        hint = getattr(error, "retry_after", None)
        self._blocklist.block(self._origin, name, _reason(error, self._deadline), hint)

    def _note(self, name: str, outcome: str, reason: str, began: float | None = None) -> None:
        seconds = 0.0 if began is None else self._blocklist.clock() - began
        self._trials.append(Trial(candidate=name, outcome=outcome, reason=reason, seconds=seconds))

    # The interface of a transport, where a fallback does more than `Handover`

    async def receive(self, take: DeliverDirectly | None = None) -> Message:
        """Return the next message; on a loss, tell the blocklist how long the connection lived."""
        try:
            return await super().receive(take)
        except TransportClosed as error:
            if not error.clean:
                self._blocklist.lived(self._origin, self.name, self._blocklist.clock() - self._opened_at)
            raise

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Stop climbing, and close the transport in use."""
        self._stop_climbing()
        await super().close(code, reason)

    def abort(self) -> None:
        """Stop climbing, and drop the transport in use."""
        self._stop_climbing()
        super().abort()

    def _stop_climbing(self) -> None:
        if self._climbing is not None:
            self._climbing.cancel()


def _retryable(error: Exception) -> bool:
    return not isinstance(error, ConnectFailed) or error.retryable


def _reason(error: Exception, deadline: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no first message within {deadline:g} s: something on the way holds it back"
    return str(error)
