"""What was handled of the messages that clients number: the last number, and the newest results.

A client's outbox numbers its messages densely (``stream`` and ``seq``). The server handles each
number once: it answers a repeat with the first result, and refuses what comes too early. All of
it is bounded, and ``welcome`` states the bounds: beyond them, *effectively once* is not promised.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from rtlab.server.ordered_answers import InOrder
from rtlab.server.refusal import Refused

__all__ = ["Incarnation", "Opening", "Producer", "ProducerLimits", "Producers"]

#: Clients that are looked at for expiry each time.
_LOOK_AT: Final = 64
#: Ended incarnations of one outbox that are told so by their tokens; others by their numbers.
_FORMER: Final = 64


class ProducerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept of what clients number.

    Parameters
    ----------
    results, result_bytes : int
        The newest results of one outbox; an older repeat is told only that it was handled.
    age : float
        Seconds after its last message until a client is forgotten.
    clients : int
        How many are remembered; one more forgets the one that was not heard for longest.
    streams : int
        Outboxes of one client.
    """

    results: int = 1024
    result_bytes: int = 256 * 1024
    age: float = 3600.0
    clients: int = 10_000
    streams: int = 16

    def as_welcome(self) -> dict[str, Any]:
        """Return what ``welcome`` says of it."""
        return {"results": self.results, "resultBytes": self.result_bytes, "age": self.age}


class Opening(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client says of its outbox before it sends from it, on each connection.

    Parameters
    ----------
    stream : str
        The outbox's name among those of the client.
    history : str
        Which numbering this is: another one begins anew.
    token : str
        Of the process that sends.
    incarnation : int or None
        The number that the server gave it; None before.
    after : int
        The last incarnation that the outbox's file knows.
    base : int
        Its oldest message without an answer: all before have theirs.
    """

    stream: str
    history: str
    token: str
    incarnation: int | None = None
    after: int = 0
    base: int = 1


class Incarnation:
    """One life of an outbox, from the opening on: the next one ends it."""

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
    """One outbox as the server knows it: each idle client may have some, so it is kept small.

    Parameters
    ----------
    limits : ProducerLimits
        Bounds.
    opening : Opening
        The first one.

    Attributes
    ----------
    last_seq : int
        The last number that was handled.
    order : InOrder
        Its messages, whatever session they come in, while a broker has not answered for one.
    """

    __slots__ = (
        "_bytes", "_former", "_limits", "_results", "history", "incarnation", "last_seq", "order", "used",
    )  # fmt: skip

    def __init__(self, limits: ProducerLimits, opening: Opening) -> None:
        self.last_seq = opening.base - 1
        self.order = InOrder()
        self.used = False
        self.history: str = opening.history
        self.incarnation = Incarnation(self, opening.incarnation or opening.after + 1, opening.token)
        self._former: tuple[str, ...] = ()
        self._limits = limits
        self._results: OrderedDict[int, _Kept] = OrderedDict()  # in the order of their numbers
        self._bytes = 0

    def open(self, opening: Opening) -> Incarnation:
        """Go on with an incarnation, or begin the next one, which ends the present one.

        Raises
        ------
        Refused
            ``"fenced"``: a newer one has taken over already.
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
        # What the client has its answers for was handled, by a server that has forgotten it.
        self.last_seq = max(self.last_seq, opening.base - 1)
        return self.incarnation

    def check(self, incarnation: Incarnation, seq: int, ident: str | None) -> _Kept | None:
        """Judge a number: return what is kept of a repeat, and None for what is to be handled now.

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
        """Keep the result of a number that was handled, or refused for good; it is the last one now."""
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
    """The outboxes of all clients, by the clients' durable names.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    limits : ProducerLimits
        Bounds.
    """

    def __init__(self, clock: Callable[[], float], limits: ProducerLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def open(self, client_id: str, user: str, opening: Opening) -> Incarnation:
        """Open an outbox for a session of its client.

        Parameters
        ----------
        client_id, user : str
            Whose; the first user of a name keeps it.
        opening : Opening
            What the client says.

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
        """Forget clients that have sent nothing for too long; a few are looked at each time."""
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
