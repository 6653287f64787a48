"""Toxiproxy's seven toxics, under its names and with its attributes.

None of them can lose or reorder TCP segments: a program in the middle owns a
connection on either side, and the kernel repairs both before it sees a byte.
What reaches an application from a lossy path is delay, and that they imitate.
"""

from __future__ import annotations

import random
from collections import deque
from typing import ClassVar, Final

from rtlab.faults.errors import bad_request
from rtlab.faults.toxics.toxic import Entry, HoldingStage, Number, Stage, StagePipe, Toxic, works_as

__all__ = ["Bandwidth", "Latency", "LimitData", "ResetPeer", "Slicer", "SlowClose", "Timeout"]

EARLY: Final = 0.0005  # event loops wake up to 1 ms late: aim half of that before
APPROACH: Final = 0.005  # s: Linux lets a long wait end 0.1 % late, so the last of it is a wait of its own
PACE: Final = 0.005  # s between two releases of a shaped stream
KB: Final = 1000
QUEUE_BYTES: Final = 64 * 1024


class Latency(Toxic):
    """Delay everything by `latency` ± `jitter` milliseconds.

    Imitates distance, and with `jitter` a varying queue. A round trip of r is
    latency r/2 on each stream. TCP's own handshake is answered by the proxy at
    once, so one round trip of connecting is missing. Order is kept: jitter
    never lets a later byte overtake, so late bytes hold up those behind them,
    as in TCP.
    """

    latency: Number = 0
    jitter: Number = 0


@works_as("latency", Latency)
class LatencyStage(HoldingStage[Latency]):
    limit = 16 * 1024 * 1024  # a long fat pipe: 128 Mbit/s for a second

    def __init__(self, entry: Entry, pipe: StagePipe, rng: random.Random) -> None:
        super().__init__(entry, pipe, rng)
        self._due: deque[float] = deque()  # one for each item of the queue; the first holds up the rest

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

    Imitates a narrow link with a queue of 64 KiB (20 ms, if that is more). The kernel's socket buffers
    add megabytes of queue in front; a proxy with small `buffer_bytes` has not. It cannot imitate a
    link that is shared: each connection has the whole rate, and a full queue drops nothing.
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
        if not self._rate():  # changed under way: `changed` starts it again
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
            if n:  # a part of it
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


class SlowClose(Toxic):
    """Hold back the end of the stream for `delay` milliseconds; data pass at once.

    Imitates a middlebox that tells late that one side is gone. A reset cannot be held
    back: it ends both sides at once.
    """

    delay: Number = 0


@works_as("slow_close", SlowClose)
class SlowCloseStage(HoldingStage[SlowClose]):
    def feed(self, data: bytes) -> None:
        self.next.feed(data)

    def eof(self) -> None:
        attributes = self.attributes
        self.record_effect(f"end held for {attributes.delay} ms")
        self.hold(None)
        self.after(attributes.delay / 1000, self.release)


class Timeout(Toxic):
    """Swallow all data, and close after `timeout` milliseconds (0: never).

    Imitates a peer that accepts and never answers, then gives up. Removing it closes
    the connections. An end of stream is seen, so it cannot imitate a dead path; that is
    `blackhole`.
    """

    timeout: Number = 0


@works_as("timeout", Timeout)
class TimeoutStage(Stage[Timeout]):
    def start(self) -> None:
        self.changed()

    def changed(self) -> None:
        attributes = self.attributes
        if attributes.timeout:
            self.after(attributes.timeout / 1000, self._expire)
        else:
            self.cancel()

    def _expire(self) -> None:
        self.end("fin", "timeout")

    def feed(self, data: bytes) -> None:
        self.record_effect("swallows", len(data))

    def eof(self) -> None:
        self.end("fin", "closed during timeout")

    def stop(self) -> None:
        self.end("fin", "timeout removed")  # as Toxiproxy does: the stream has a hole


class ResetPeer(Toxic):
    """Reset the connection (RST) `timeout` milliseconds after data come.

    Those data are lost. Imitates a crashed process or a firewall that has
    forgotten the connection. Silent connections live on, so it cannot imitate a
    crash that everybody hears of at once; that is `cut`.
    """

    timeout: Number = 0


@works_as("reset_peer", ResetPeer)
class ResetPeerStage(Stage[ResetPeer]):
    def feed(self, data: bytes) -> None:
        self.record_effect("will reset", len(data))
        self._reset_later()

    def eof(self) -> None:
        self._reset_later()

    def _reset_later(self) -> None:
        attributes = self.attributes
        if self._timer is None:
            self.after(attributes.timeout / 1000, self._reset)

    def _reset(self) -> None:
        self.end("rst", "reset_peer")

    def stop(self) -> None:
        if self._timer is not None:  # data were lost: removed before its time, it resets now
            self._reset()


class Slicer(Toxic):
    """Cut data into writes of `average_size` ± `size_variation` bytes, `delay` µs apart.

    Imitates a path with small packets, and shows which readers mistake one read for
    one message. It cannot set the size of packets: the receiver's kernel may join
    slices again unless `delay` keeps them apart.
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


class LimitData(Toxic):
    """Close the connection after `bytes` bytes, counted from the toxic's addition.

    Imitates a gateway with a quota, and a download that breaks off. The end is an orderly
    one, wherever in a message it falls; for a reset there see `kill_midframe`, which cannot
    count bytes.
    """

    bytes: int = 0


@works_as("limit_data", LimitData)
class LimitDataStage(Stage[LimitData]):
    _passed = 0

    def feed(self, data: bytes) -> None:
        attributes = self.attributes
        data = bytes(data)[: max(0, attributes.bytes - self._passed)]
        self._passed += len(data)
        if data:
            self.next.feed(data)
        if self._passed >= attributes.bytes:
            self.end("fin", f"limit of {attributes.bytes} bytes")
