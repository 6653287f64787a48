"""Faults of a network path that do not depend on the protocol that it carries."""

from __future__ import annotations

import math
import random
from typing import ClassVar, Literal

from rtlab.faults.errors import bad_request
from rtlab.faults.toxics.toxic import HoldingStage, Number, Toxic, ToxicStage, works_as

__all__ = ["AcceptThenClose", "Blackhole", "Corrupt", "Cut", "SlowOpen", "Stall"]


class Stall(Toxic):
    """Stop reading: nothing is lost, all data wait, and the sender feels backpressure.

    Imitates a consumer that hangs, and a short outage that TCP survives: when
    the toxic is removed, the waiting data arrive, in order and late. The sender's
    kernel still gets acknowledgements until the socket buffers are full
    (megabytes on loopback; see the proxy's `buffer_bytes`), and answers to its
    keep-alive probes for ever: TCP alone does not notice.
    """


@works_as("stall", Stall)
class StallStage(HoldingStage[Stall]):
    def start(self) -> None:
        self.pipe.block(self)

    def feed(self, data: bytes) -> None:  # held by an earlier stage, or read before the stall
        self.hold(data)

    def eof(self) -> None:
        self.hold(None)

    def release(self) -> None:
        data = self.queue.popleft()
        if data is None:
            self.next.eof()
        else:
            self.held -= len(data)
            self.next.feed(data)

    def stop(self) -> None:
        if self.pipe.held:  # bytes in the kernel never reach this stage: counted here
            self.record_effect("held back", self.pipe.held)
        super().stop()


class Cut(Toxic):
    """End every connection, present and future, after `after` milliseconds.

    Imitates a crash: ``how="rst"`` loses data in flight, and both peers see a reset
    (WebSocket 1006); ``"fin"`` ends TCP in order, but without a closing handshake of the
    protocol above. It cannot imitate an unplugged cable, which sends neither RST nor FIN: see
    `stall` and `blackhole`.
    """

    how: Literal["rst", "fin"] = "rst"
    after: Number = 0


@works_as("cut", Cut)
class CutStage(ToxicStage[Cut]):
    def start(self) -> None:
        attributes = self.attributes
        self.after(attributes.after / 1000, self._cut)

    def _cut(self) -> None:
        attributes = self.attributes
        self.end(attributes.how, "cut")


class Blackhole(Toxic):
    """Swallow all data and the end of the stream, silently.

    Imitates a path that died silently (a closed laptop, a NAT that dropped its
    mapping). Silence is the only symptom, so only an application's heartbeat
    detects it: the proxy's kernel still acknowledges every segment, which a dead
    path would not do, so TCP's own retransmission timeout (about 925 s) never
    runs. When the toxic is removed, connections that lost bytes are reset, since
    their stream has a gap; connections that were idle stay open.
    """


@works_as("blackhole", Blackhole)
class BlackholeStage(ToxicStage[Blackhole]):
    _swallowed = 0
    _eof = False

    def feed(self, data: bytes) -> None:
        self._swallowed += len(data)
        self.record_effect("swallows", len(data))

    def eof(self) -> None:
        self._eof = True
        self.record_effect("swallows the end")

    def stop(self) -> None:
        if self._swallowed:
            self.end("rst", "the stream has a hole")
        elif self._eof:
            self.next.eof()


class Corrupt(Toxic):
    """Corrupt each byte with `probability` by flipping one random bit, after the first `skip` bytes.

    Imitates a middlebox with bad memory. A network link does not do this to TCP: checksums
    turn corruption into loss, and TLS turns it into a closed connection.
    Which bytes are corrupted depends on the seed alone.
    """

    required: ClassVar[tuple[str, ...]] = ("probability",)
    probability: Number = 0
    skip: int = 0

    def check(self) -> None:
        super().check()
        if not 0 < self.probability <= 1:
            raise bad_request(f"probability must be above 0 and at most 1, got {self.probability}")


@works_as("corrupt", Corrupt)
class CorruptStage(ToxicStage[Corrupt]):
    _gap: int | None = None
    _passed = 0  # bytes, flipped or not

    def start(self) -> None:
        self._gap = max(0, self.attributes.skip - self._passed) + self._draw()

    changed = start

    def reseed(self, rng: random.Random) -> None:
        super().reseed(rng)
        self.start()

    def _draw(self) -> int:
        """Number of intact bytes before the next corrupted one: geometric, however the data are split."""
        p = self.attributes.probability
        return 0 if p >= 1 else int(math.log(1.0 - self.rng.random()) / math.log1p(-p))

    def feed(self, data: bytes) -> None:
        assert self._gap is not None
        if self._gap < len(data):
            changed = bytearray(data)
            while self._gap < len(changed):
                changed[self._gap] ^= 1 << self.rng.randrange(8)
                self.record_effect("flips bits", 1)
                self._gap += 1 + self._draw()
            data = bytes(changed)
        self._gap -= len(data)
        self._passed += len(data)
        self.next.feed(data)


class AcceptThenClose(Toxic):
    """Accept new connections, and close each after `after` milliseconds; open ones are not affected.

    Imitates a load balancer with no healthy server behind it: connecting works,
    which is why "connected" must not reset a backoff. It cannot imitate a closed port,
    which refuses connections (disable the proxy for that).
    """

    how: Literal["rst", "fin"] = "fin"
    after: Number = 0


@works_as("accept_then_close", AcceptThenClose)
class AcceptThenCloseStage(ToxicStage[AcceptThenClose]):
    def start(self) -> None:
        attributes = self.attributes
        if self.pipe.fresh:
            self.after(attributes.after / 1000, self._close)

    def _close(self) -> None:
        attributes = self.attributes
        self.end(attributes.how, "accept_then_close")


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
