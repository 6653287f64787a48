"""Faults of datagrams: delay, loss, duplication and reordering, which UDP does not repair.

The relay sees whole datagrams, so it can do what no TCP proxy can. Inside
WebRTC's data channels, SCTP retransmits lost data, as TCP does in a kernel: a
reliable channel then shows delay, an unreliable one loss.
"""

from __future__ import annotations

import random
from asyncio import TimerHandle
from collections.abc import Callable

from rtlab.faults.errors import bad_request
from rtlab.faults.toxics.latency_and_bandwidth import EARLY, Latency
from rtlab.faults.toxics.stall_and_blackhole import Blackhole
from rtlab.faults.toxics.toxic_registry_and_base_classes import Number, Toxic, ToxicStage, ToxicT, works_as

__all__ = ["Duplicate", "Loss", "Reorder"]


class DatagramStage(ToxicStage[ToxicT]):
    """Counts datagrams, and can delay each of them with its own timer."""

    _count = 0

    def feed(self, data: bytes) -> None:
        self._count += 1
        self.on_datagram(data)

    def on_datagram(self, data: bytes) -> None:
        raise NotImplementedError

    def hit(self, what: str, data: bytes) -> None:
        """Record what this toxic did to the current datagram."""
        self.entry.used += 1
        self.affected = True
        self.pipe.record("affected", self.entry.name, len(data), f"{what} datagram {self._count}")

    def start(self) -> None:
        self._later: dict[TimerHandle, Callable[[], None]] = {}

    def send_later(self, delay: float, data: bytes) -> None:
        def send() -> None:
            self._later.pop(handle, None)
            self.held -= len(data)
            self.next.feed(data)

        self.held += len(data)
        handle = self.pipe.loop.call_later(max(0.0, delay - EARLY), send)
        self._later[handle] = send

    def stop(self) -> None:
        for handle, send in tuple(self._later.items()):
            handle.cancel()
            send()

    def close(self) -> None:
        for handle in self._later:
            handle.cancel()
        self._later.clear()
        super().close()


@works_as("latency", Latency, "udp")
class DatagramLatencyStage(DatagramStage[Latency]):
    """Delays each datagram independently: with jitter, datagrams overtake each other."""

    def on_datagram(self, data: bytes) -> None:
        attributes = self.attributes
        delay = attributes.latency
        if attributes.jitter:
            delay += self.rng.uniform(-attributes.jitter, attributes.jitter)
        self.record_effect(bytes=len(data))
        self.send_later(delay / 1000, data)


@works_as("blackhole", Blackhole, "udp")
class DatagramBlackholeStage(DatagramStage[Blackhole]):
    def on_datagram(self, data: bytes) -> None:
        self.record_effect("swallows", len(data))


class Loss(Toxic):
    """Drop each datagram with `probability`, in bursts of mean length `burst`.

    With ``burst=1`` losses are independent; above that, they follow the two-state Markov chain
    of Gilbert (1960): a loss is followed by another with probability 1 − 1/burst. The
    share of lost datagrams stays `probability`. Imitates a radio link or a full queue; it
    cannot make losses depend on the load, as a full queue does.
    """

    probability: Number = 0
    burst: Number = 1
    required = ("probability",)

    def check(self) -> None:
        super().check()
        if not 0 < self.probability <= 1:
            raise bad_request(f"probability must be above 0 and at most 1, got {self.probability}")
        if self.burst < 1:
            raise bad_request(f"burst must be at least 1 datagram, got {self.burst}")


@works_as("loss", Loss, "udp")
class LossStage(DatagramStage[Loss]):
    _lost = False

    def reseed(self, rng: random.Random) -> None:
        super().reseed(rng)
        self._lost = False

    def on_datagram(self, data: bytes) -> None:
        p, burst = self.attributes.probability, self.attributes.burst
        if burst == 1 or p == 1:
            chance = p
        elif self._lost:
            chance = 1 - 1 / burst
        else:
            chance = min(1.0, p / (1 - p) / burst)
        self._lost = self.rng.random() < chance
        if self._lost:
            self.hit("loses", data)
        else:
            self.next.feed(data)


class Duplicate(Toxic):
    """Deliver a datagram twice with `probability`, the copy `delay` ms later.

    Imitates a link layer that retransmits a frame whose acknowledgement was late. A TCP stream
    cannot show this: the receiver's kernel discards duplicate segments.
    """

    probability: Number = 0
    delay: Number = 0
    required = ("probability",)

    def check(self) -> None:
        super().check()
        if not 0 < self.probability <= 1:
            raise bad_request(f"probability must be above 0 and at most 1, got {self.probability}")


@works_as("duplicate", Duplicate, "udp")
class DuplicateStage(DatagramStage[Duplicate]):
    def on_datagram(self, data: bytes) -> None:
        self.next.feed(data)
        if self.rng.random() < self.attributes.probability:
            self.hit("repeats", data)
            self.send_later(self.attributes.delay / 1000, data)


class Reorder(Toxic):
    """Hold a datagram back with `probability`, until `gap` others have passed it.

    It is held for at most `delay` ms, so that the last datagram of a burst arrives too. Imitates
    packets that take different paths. Only one datagram is held at a time, so this toxic cannot
    shuffle a whole burst; `latency` with `jitter` can.
    """

    probability: Number = 0
    gap: int = 1
    delay: Number = 100
    required = ("probability",)

    def check(self) -> None:
        super().check()
        if not 0 < self.probability <= 1:
            raise bad_request(f"probability must be above 0 and at most 1, got {self.probability}")
        if self.gap < 1:
            raise bad_request(f"gap must be at least 1 datagram, got {self.gap}")


@works_as("reorder", Reorder, "udp")
class ReorderStage(DatagramStage[Reorder]):
    _waiting: tuple[bytes, int] | None = None  # the held datagram, and the count that releases it

    def on_datagram(self, data: bytes) -> None:
        if self._waiting is None and self.rng.random() < self.attributes.probability:
            self.hit("holds back", data)
            self._waiting = data, self._count + self.attributes.gap
            self.held = len(data)
            self.after(self.attributes.delay / 1000, self._free)
            return
        self.next.feed(data)
        if self._waiting is not None and self._count >= self._waiting[1]:
            self._free()

    def _free(self) -> None:
        self.cancel()
        if self._waiting is not None:
            data, self._waiting, self.held = self._waiting[0], None, 0
            self.next.feed(data)

    def stop(self) -> None:
        self._free()
