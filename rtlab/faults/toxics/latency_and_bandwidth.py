"""Toxics of a slow path: latency, bandwidth, small segments, and a slow first answer.

None of them can lose or reorder TCP segments: the proxy has one TCP connection on either
side, and the kernel repairs loss on both before the proxy sees a byte. What an application
sees of a lossy path is delay, which these toxics imitate.
"""

from __future__ import annotations

import random
from collections import deque
from typing import ClassVar, Final

from rtlab.faults.errors import bad_request
from rtlab.faults.toxics.toxic_registry_and_base_classes import (
    HoldingStage,
    Number,
    StagePipe,
    Toxic,
    ToxicEntry,
    works_as,
)

__all__ = ["Bandwidth", "Latency", "Slicer", "SlowOpen"]

EARLY: Final = 0.0005  # s: event loops wake up to 1 ms late, so aim half of that too early
APPROACH: Final = 0.005  # s: Linux may end a long wait 0.1 % late, so its last 5 ms are a separate wait
PACE: Final = 0.005  # s between two releases of a shaped stream
KB: Final = 1000
QUEUE_BYTES: Final = 64 * 1024


class Latency(Toxic):
    """Delay everything by `latency` ± `jitter` milliseconds.

    Imitates distance, and with `jitter` a varying queue. For a round trip of r, add a
    latency of r/2 to each stream. The proxy's kernel answers TCP's handshake at once, so
    connecting is one round trip too fast. Jitter never reorders bytes: late bytes hold up
    those behind them, which is head-of-line blocking, as in TCP.
    """

    latency: Number = 0
    jitter: Number = 0


@works_as("latency", Latency)
class LatencyStage(HoldingStage[Latency]):
    limit = 16 * 1024 * 1024  # a long fat pipe: 128 Mbit/s for a second

    def __init__(self, entry: ToxicEntry, pipe: StagePipe, rng: random.Random) -> None:
        super().__init__(entry, pipe, rng)
        self._due: deque[float] = deque()  # when each item of the queue is due; the first holds up the rest

    def _push(self, data: bytes | None) -> None:
        now = self.pipe.loop.time()
        attributes = self.attributes
        delay = attributes.latency
        if attributes.jitter:
            delay += self.rng.uniform(-attributes.jitter, attributes.jitter)
        self._due.append(now + max(delay, 0) / 1000)
        self.hold(data)
        if len(self._due) == 1:
            self._arm(now)

    feed = _push

    def eof(self) -> None:
        self._push(None)

    def _arm(self, now: float) -> None:
        wait = self._due[0] - now
        self.after(wait - APPROACH if wait > 4 * APPROACH else max(0.0, wait - EARLY), self._ring)

    def _ring(self) -> None:
        now = self.pipe.loop.time()
        while self._due and self._due[0] - now <= EARLY:
            self._due.popleft()
            self.release()
        if self._due:
            self._arm(now)

    def stop(self) -> None:
        self._due.clear()
        super().stop()


class Bandwidth(Toxic):
    """Let at most `rate` kilobytes (1,000 bytes) a second through; with 0 nothing passes, as in Toxiproxy.

    Imitates a narrow link with a queue of 64 KiB (or 20 ms of data, if that is more). The kernel's socket
    buffers add megabytes of queue in front of it, unless the proxy has small `buffer_bytes`. It cannot
    imitate a shared link: each connection has the full rate. Nor does a full queue drop anything.
    """

    required: ClassVar[tuple[str, ...]] = ("rate",)
    rate: Number = 0


@works_as("bandwidth", Bandwidth)
class BandwidthStage(HoldingStage[Bandwidth]):
    _since = 0.0
    _credit = 0.0
    _running = False

    def start(self) -> None:
        self.changed()

    def changed(self) -> None:
        self.limit = max(QUEUE_BYTES, int(4 * PACE * self._rate()))
        if self.queue:
            self._run()

    def feed(self, data: bytes) -> None:
        self.hold(data)
        self._run()

    def eof(self) -> None:
        self.hold(None)
        self._run()

    def _run(self) -> None:
        if not self._running and self._rate():
            self._running = True
            self._since, self._credit = self.pipe.loop.time(), 0.0
            self._wait()

    def _rate(self) -> float:
        attributes = self.attributes
        return attributes.rate * KB

    def _wait(self) -> None:
        missing = (self.held - self._credit) / self._rate()
        self.after(min(PACE, max(missing, 0.0)), self._tick)

    def _tick(self) -> None:
        if not self._rate():  # the rate is 0 now: `changed` starts it again
            self._running = False
            return
        now = self.pipe.loop.time()
        self._credit += (now - self._since) * self._rate()
        self._since = now
        while self.queue:
            head = self.queue[0]
            if head is None or len(head) <= self._credit:
                self._credit -= len(head or b"")
                self.release()
                continue
            n = int(self._credit)
            if n:  # release a part of the item
                self._credit -= n
                self.queue[0] = head[n:]
                self.queue.appendleft(head[:n])
                self.release()
            break
        if self.queue:
            self._wait()
        else:
            self._running = False

    def stop(self) -> None:
        self._running = False
        super().stop()


class Slicer(Toxic):
    """Cut data into writes of `average_size` ± `size_variation` bytes, `delay` µs apart.

    Imitates a path with small packets, and reveals readers that take one read for one
    message. It cannot set the size of packets: the receiver's kernel may join the slices
    again, unless `delay` keeps them apart.
    """

    required: ClassVar[tuple[str, ...]] = ("average_size",)
    average_size: int = 0
    size_variation: int = 0
    delay: Number = 0

    def check(self) -> None:
        super().check()
        if self.average_size < 1:
            raise bad_request(f"average_size must be at least 1 byte, got {self.average_size}")
        if self.size_variation >= self.average_size:
            raise bad_request("size_variation must be less than average_size")


@works_as("slicer", Slicer)
class SlicerStage(HoldingStage[Slicer]):
    def feed(self, data: bytes) -> None:
        data = bytes(data)
        at = 0
        while at < len(data):
            size = self._size()
            self.hold(data[at : at + size])
            at += size
        self._go()

    def eof(self) -> None:
        self.hold(None)
        self._go()

    def _size(self) -> int:
        attributes = self.attributes
        spread = attributes.size_variation
        return max(1, attributes.average_size + (self.rng.randint(-spread, spread) if spread else 0))

    def _go(self) -> None:
        if self._timer is None and self.queue:
            self.after(0, self._ring)

    def _ring(self) -> None:
        self.cancel()
        self.release()
        if self.queue:
            self.after(self.attributes.delay / 1e6, self._ring)


class SlowOpen(Toxic):
    """Hold the first bytes of each new connection for `delay` milliseconds.

    Imitates the round trip of TCP's handshake. It cannot delay the handshake itself, which
    the proxy's kernel completes at once: the client learns too early that it is connected,
    but gets its first answer at the right time. Connections that are already open are not
    affected.
    """

    streams: ClassVar[tuple[str, ...]] = ("upstream",)
    delay: Number = 0


@works_as("slow_open", SlowOpen)
class SlowOpenStage(HoldingStage[SlowOpen]):
    _opening = False

    def start(self) -> None:
        if self.pipe.fresh:
            self._opening = True
            self.after(self.attributes.delay / 1000, self.stop)

    def feed(self, data: bytes) -> None:
        if self._opening:
            self.hold(data)
        else:
            self.next.feed(data)

    def eof(self) -> None:
        if self._opening:
            self.hold(None)
        else:
            self.next.eof()

    def stop(self) -> None:
        self._opening = False
        super().stop()
