"""Handles numbered messages once, and fences the process whose outbox a newer one has opened.

A client's outbox numbers its messages densely (``stream`` and ``seq``). The server handles each
number once: it answers a repeat with the first result, and refuses a number that leaves a gap. What
it keeps is bounded, and ``welcome`` states the limits: beyond them, *effectively once* is not promised.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from rtlab.server.maybe_awaitable_values import InOrder
from rtlab.server.refusal_and_end_reasons import Refused

__all__ = ["Incarnation", "Producer", "ProducerLimits", "ProducerOpening", "Producers"]

#: Clients that one call of `Producers.expire` examines.
_LOOK_AT: Final = 64
#: Ended incarnations of one outbox that are recognised by token; older ones are recognised by number.
_FORMER: Final = 64


class ProducerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the server keeps of clients' numbered messages.

    Parameters
    ----------
    results, result_bytes : int
        Results kept for one outbox; a repeat of an older message is told only that it was handled.
    age : float
        Seconds after its last message until a client is forgotten.
    clients : int
        Clients that are remembered; one more replaces the client that was silent for longest.
    streams : int
        Outboxes of one client.
    """

    results: int = 1024
    result_bytes: int = 256 * 1024
    age: float = 3600.0
    clients: int = 10_000
    streams: int = 16

    def as_welcome(self) -> dict[str, Any]:
        """Return these limits as fields of ``welcome``."""
        return {"results": self.results, "resultBytes": self.result_bytes, "age": self.age}


class ProducerOpening(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client declares about an outbox, on each connection, before it sends from the outbox.

    Parameters
    ----------
    stream : str
        The outbox's name, unique for the client.
    history : str
        Identifies the numbering; with another value, numbers begin anew at `base`.
    token : str
        Identifies the process that sends.
    incarnation : int or None
        The number that the server gave to this process's incarnation; None before the first answer.
    after : int
        The highest incarnation number that is stored in the outbox's file.
    base : int
        Number of the oldest message without an answer.
    """

    stream: str
    history: str
    token: str
    incarnation: int | None = None
    after: int = 0
    base: int = 1


class Incarnation:
    """One process's use of an outbox, from its opening until another process opens the outbox."""

    __slots__ = ("fenced", "number", "producer", "token")

    def __init__(self, producer: Producer, number: int, token: str) -> None:
        self.producer = producer
        self.number = number
        self.token = token
        self.fenced = False


class _Kept(NamedTuple):
    ident: str | None
    outcome: Any
    size_bytes: int


class Producer:
    """What the server keeps of one outbox; small, because each idle client may have several.

    Parameters
    ----------
    limits : ProducerLimits
        How many results are kept.
    opening : ProducerOpening
        The first opening of the outbox.

    Attributes
    ----------
    last_seq : int
        The last number that was handled.
    order : InOrder
        Handles the outbox's messages one after the other, across sessions, while a broker's answer is
        awaited.
    """

    __slots__ = (
        "_bytes", "_former", "_limits", "_results", "history", "incarnation", "last_seq", "order", "used",
    )  # fmt: skip

    def __init__(self, limits: ProducerLimits, opening: ProducerOpening) -> None:
        self.last_seq = opening.base - 1
        self.order = InOrder()
        self.used = False
        self.history: str = opening.history
        self.incarnation = Incarnation(self, opening.incarnation or opening.after + 1, opening.token)
        self._former: tuple[str, ...] = ()
        self._limits = limits
        self._results: OrderedDict[int, _Kept] = OrderedDict()  # in the order of their numbers
        self._bytes = 0

    def open(self, opening: ProducerOpening) -> Incarnation:
        """Continue the present incarnation, or begin the next one, which fences the present one off.

        Raises
        ------
        Refused
            ``"fenced"`` if a newer incarnation has taken over already.
        """
        self.used = True
        present = self.incarnation
        if opening.token != present.token:
            mine = opening.incarnation
            if opening.token in self._former or (mine is not None and mine <= present.number):
                raise _fenced(present.number)
            present.fenced = True
            self._former = (*self._former, present.token)[-_FORMER:]
            number = mine if mine is not None else max(present.number, opening.after) + 1
            self.incarnation = Incarnation(self, number, opening.token)
        if opening.history != self.history:
            self.history = opening.history
            self.last_seq = opening.base - 1
            self._results.clear()
            self._bytes = 0
        # Numbers below `base` were handled, perhaps by a server that has forgotten them.
        self.last_seq = max(self.last_seq, opening.base - 1)
        return self.incarnation

    def check(self, incarnation: Incarnation, seq: int, ident: str | None) -> _Kept | None:
        """Check a message's number: return what is kept of a repeat, None if it is to be handled now.

        Raises
        ------
        Refused
            ``"fenced"``, ``"gap"`` with the number ``expected``, or ``"seq_reused"``.
        """
        self.used = True
        if incarnation.fenced:
            raise _fenced(self.incarnation.number)
        if seq > self.last_seq + 1:
            expected = self.last_seq + 1
            text = f"expected seq {expected}, got {seq}: send again from {expected} on"
            raise Refused("gap", text, details={"expected": expected})
        if seq > self.last_seq:
            return None
        kept = self._results.get(seq, _Kept(None, None, 0))
        if kept.ident is not None and ident is not None and kept.ident != ident:
            expected = self.last_seq + 1
            text = f"seq {seq} was used for the message {kept.ident!r}: number another one {expected}"
            raise Refused("seq_reused", text, details={"expected": expected})
        return kept

    def settle(self, seq: int, ident: str | None, outcome: object, size_bytes: int) -> None:
        """Keep the result of a message that was handled or finally refused, and advance `last_seq`."""
        self.last_seq = seq
        self._results[seq] = _Kept(ident, outcome, size_bytes)
        self._bytes += size_bytes
        limits = self._limits
        while len(self._results) > limits.results or (
            self._bytes > limits.result_bytes and len(self._results) > 1
        ):
            self._bytes -= self._results.popitem(last=False)[1].size_bytes


class _Client:
    __slots__ = ("heard", "producers", "user")

    def __init__(self, user: str, now: float) -> None:
        self.user = user
        self.heard = now
        self.producers: dict[str, Producer] = {}


class Producers:
    """The outboxes of all clients, by client id.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    limits : ProducerLimits
        How much is kept.
    """

    def __init__(self, clock: Callable[[], float], limits: ProducerLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def open(self, client_id: str, user: str, opening: ProducerOpening) -> Incarnation:
        """Open an outbox for a session of its client.

        Parameters
        ----------
        client_id, user : str
            The outbox's owner. A client id belongs to the first user who uses it.
        opening : ProducerOpening
            What the client declares about the outbox.

        Raises
        ------
        Refused
            ``"wrong_user"``, ``"too_many_outboxes"`` or ``"fenced"``.
        """
        client = self._clients.get(client_id)
        if client is None:
            client = self._clients[client_id] = _Client(user, self._clock())
            if len(self._clients) > self._limits.clients:
                self._clients.popitem(last=False)
        if client.user != user:
            raise Refused("wrong_user", f"the clientId {client_id!r} belongs to another user: choose another")
        client.heard = self._clock()
        self._clients.move_to_end(client_id)
        producer = client.producers.get(opening.stream)
        if producer is None:
            if len(client.producers) >= self._limits.streams:
                text = f"you have {self._limits.streams} outboxes: use one of them, or another clientId"
                raise Refused("too_many_outboxes", text)
            producer = client.producers[opening.stream] = Producer(self._limits, opening)
        return producer.open(opening)

    def expire(self) -> None:
        """Forget clients that have sent nothing for too long; each call examines a few clients."""
        now = self._clock()
        for _ in range(min(_LOOK_AT, len(self._clients))):
            client_id, client = next(iter(self._clients.items()))
            for producer in client.producers.values():
                if producer.used:
                    producer.used, client.heard = False, now
            if now - client.heard > self._limits.age:
                del self._clients[client_id]
            else:
                self._clients.move_to_end(client_id)


def _fenced(by: int) -> Refused:
    text = f"another process sends from this outbox now (incarnation {by}): this one must stop"
    return Refused("fenced", text, details={"incarnation": by})
