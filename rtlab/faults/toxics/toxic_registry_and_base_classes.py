"""Base classes of toxics: attributes, set by API requests, and stages, which do the work in a pipe.

A pipe is one direction of one connection. Its data go through a chain of
stages, one for each toxic, into a sink::

    socket → Latency → Slicer → socket

The pipe calls a stage's `feed` and `eof`; the stage passes on what it likes, when it likes,
with ``next.feed`` and ``next.eof``. While a stage holds more than its `limit`, the source is
not read: that is real backpressure, which fills the sender's socket buffer.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, cast

import msgspec

from rtlab.faults.errors import bad_request, invalid_stream, invalid_toxic_type, missing_field
from rtlab.faults.toxiproxy_json import lower_case_fields

__all__ = [
    "TOXICS",
    "HoldingStage",
    "NextStage",
    "Number",
    "StagePipe",
    "Toxic",
    "ToxicEntry",
    "ToxicStage",
    "ToxicT",
    "parse_entry",
    "works_as",
]

Number = int | float
MAX_NUMBER: Final = 2**63 - 1  # the largest int64 of Go, the type of Toxiproxy's attributes
STREAMS: Final = ("upstream", "downstream")


class Toxic(msgspec.Struct, kw_only=True):
    """Attributes of one kind of toxic."""

    kind: ClassVar[str] = ""
    streams: ClassVar[tuple[str, ...]] = STREAMS
    required: ClassVar[tuple[str, ...]] = ()
    stages: ClassVar[dict[str, type[ToxicStage[Any]]]] = {}  # by protocol: tcp, udp

    def check(self) -> None:
        """Raise `FaultError` for attributes that are out of range."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, (int, float)) and not 0 <= value <= MAX_NUMBER:
                what = "must not be negative" if value < 0 else f"must be at most {MAX_NUMBER}"
                raise bad_request(f"{name} {what}, got {value}")


ToxicT = TypeVar("ToxicT", bound=Toxic)
StageT = TypeVar("StageT", bound="type[ToxicStage[Any]]")
TOXICS: dict[str, type[Toxic]] = {}


def works_as(kind: str, attributes: type[Toxic], protocol: str = "tcp") -> Callable[[StageT], StageT]:
    """Decorate a stage: register it and its attributes under their name in the API, for one protocol."""

    def register(stage: StageT) -> StageT:
        attributes.kind = kind
        attributes.stages = {**attributes.stages, protocol: stage}
        TOXICS[kind] = attributes
        return stage

    return register


class ToxicEntry(msgspec.Struct):
    """A toxic in a proxy's list, as the API shows it."""

    attributes: Toxic
    name: str
    type: str
    stream: str
    toxicity: Number = 1
    used: int = 0  # number of effects, over all connections

    def to_dict(self) -> dict[str, Any]:
        return {
            "attributes": msgspec.to_builtins(self.attributes),
            "name": self.name,
            "type": self.type,
            "stream": self.stream,
            "toxicity": self.toxicity,
        }

    def updated(self, body: Any) -> tuple[Toxic, Number]:
        """Attributes and toxicity after a PATCH with this body."""
        given = lower_case_fields(body)
        changes = _known(given.get("attributes"), type(self.attributes))
        merged = {**msgspec.to_builtins(self.attributes), **changes}
        return _attributes(type(self.attributes), merged), _toxicity(given.get("toxicity", self.toxicity))


def parse_entry(body: Any, protocol: str = "tcp") -> ToxicEntry:
    """The toxic that a POST body describes, for a proxy of this protocol.

    Raises
    ------
    FaultError
        With Toxiproxy's message: unknown type, wrong stream, missing or
        negative attribute.
    """
    given = lower_case_fields(body)
    kind, name, spelled = (_text(given, field) for field in ("type", "name", "stream"))
    stream = spelled.lower()
    cls = TOXICS.get(kind)
    if stream and stream not in STREAMS:
        raise invalid_stream()
    if cls is None:
        raise invalid_toxic_type()
    if protocol not in cls.stages:
        raise bad_request(f"{kind} works on {' and '.join(cls.stages)} only, this proxy is {protocol}")
    stream = stream or ("downstream" if "downstream" in cls.streams else cls.streams[0])
    if stream not in cls.streams:
        raise bad_request(f"{kind} works on the {cls.streams[0]} stream only")
    attributes = _attributes(cls, _known(given.get("attributes"), cls))
    # Toxiproxy keeps the spelling of the stream in the default name.
    return ToxicEntry(
        attributes, name or f"{kind}_{spelled or stream}", kind, stream, _toxicity(given.get("toxicity", 1))
    )


def _known(value: Any, cls: type[Toxic]) -> dict[str, Any]:
    """Attributes from a request body. Null unsets attributes whose default is None; others ignore it."""
    given = lower_case_fields(value)
    if isinstance(value, dict):
        optional = {field.name for field in msgspec.structs.fields(cls) if field.default is None}
        given |= {name: None for name in optional if name in value and value[name] is None}
    return given


def _text(given: dict[str, Any], field: str) -> str:
    value = given.get(field, "")
    if not isinstance(value, str):
        raise bad_request(f"{field} must be a string, got {type(value).__name__}")
    return value


def _toxicity(value: Any) -> Number:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise bad_request(f"toxicity must be a number from 0 to 1, got {value!r}")
    return value


def _attributes(cls: type[Toxic], given: dict[str, Any]) -> Toxic:
    for name in cls.required:
        if given.get(name) is None:
            raise missing_field(name)
    try:
        attributes = msgspec.convert(given, cls)
    except msgspec.ValidationError as error:
        raise bad_request(str(error)) from None
    attributes.check()
    return attributes


class NextStage(Protocol):
    """Where a stage sends data: the next stage, or the sink."""

    def feed(self, data: bytes) -> None: ...
    def eof(self) -> None: ...


class StagePipe(Protocol):
    """The part of a pipe's interface that stages may use; `Pipe` implements it."""

    direction: str
    loop: asyncio.AbstractEventLoop
    first: NextStage
    first_bytes: bytes
    bytes: int

    @property
    def sink(self) -> NextStage: ...
    @property
    def opposite(self) -> StagePipe: ...
    @property
    def upgraded(self) -> bool: ...
    @property
    def fresh(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def held(self) -> int: ...
    def block(self, who: object) -> None: ...
    def unblock(self, who: object) -> None: ...
    def record(self, kind: str, toxic: str = "", bytes: int = 0, detail: str = "") -> None: ...
    def end(self, how: str, toxic: str, detail: str = "") -> None: ...
    def send_copy(self, request: bytes) -> None: ...


class ToxicStage(Generic[ToxicT]):
    """One toxic at work in one pipe. This base class lets everything pass.

    Parameters
    ----------
    entry : ToxicEntry
        The toxic; its attributes may change while the stage works.
    pipe : StagePipe
        The pipe that the stage works in.
    rng : random.Random
        The stage's random numbers, derived from the seed, the connection, the direction and the name.
    """

    def __init__(self, entry: ToxicEntry, pipe: StagePipe, rng: random.Random) -> None:
        self.entry = entry
        self.pipe = pipe
        self.rng = rng
        self.next: NextStage = pipe.sink
        self.held: int = 0
        self.affected = False
        self._timer: TimerHandle | None = None

    @property
    def attributes(self) -> ToxicT:
        """The attributes as they are now."""
        return cast("ToxicT", self.entry.attributes)

    # Called by the pipe
    def start(self) -> None:
        """Called when the toxic was added, or the connection opens."""

    def feed(self, data: bytes) -> None:
        self.next.feed(data)

    def eof(self) -> None:
        self.next.eof()

    def changed(self) -> None:
        """Called when the attributes have changed."""

    def reseed(self, rng: random.Random) -> None:
        """Draw from `rng` from now on, and forget what was drawn ahead."""
        self.rng = rng

    def stop(self) -> None:
        """Called when the toxic was removed: pass on all that is held."""

    def close(self) -> None:
        """Called when the connection has ended."""
        self.cancel()

    # Called by subclasses
    def record_effect(self, detail: str = "", bytes: int = 0) -> None:
        """Record, once per connection, that this toxic had an effect."""
        if not self.affected:
            self.affected = True
            self.pipe.record("affected", self.entry.name, bytes, detail)

    def end(self, how: str, detail: str = "") -> None:
        """End the whole connection, ``"rst"`` or ``"fin"``."""
        self.pipe.end(how, self.entry.name, detail)

    def after(self, delay: float, action: Callable[[], None]) -> None:
        """Run `action` in `delay` seconds, in place of any action scheduled before."""
        self.cancel()
        self._timer = self.pipe.loop.call_later(delay, action)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class HoldingStage(ToxicStage[ToxicT]):
    """A stage with a FIFO queue, in which ``None`` stands for the end of the stream."""

    limit = 64 * 1024  # bytes held before the source is paused

    def __init__(self, entry: ToxicEntry, pipe: StagePipe, rng: random.Random) -> None:
        super().__init__(entry, pipe, rng)
        self.queue: deque[bytes | None] = deque()

    def hold(self, data: bytes | None) -> None:
        self.queue.append(data)
        if data is not None:
            self.held += len(data)
            self.record_effect(bytes=self.held)
            if self.held > self.limit:
                self.pipe.block(self)

    def release(self) -> None:
        """Pass on the oldest item of the queue."""
        data = self.queue.popleft()
        if data is None:
            self.next.eof()
            return
        self.held -= len(data)
        if self.held <= self.limit:
            self.pipe.unblock(self)
        self.next.feed(data)

    def stop(self) -> None:
        self.cancel()
        while self.queue:
            self.release()
        self.pipe.unblock(self)
