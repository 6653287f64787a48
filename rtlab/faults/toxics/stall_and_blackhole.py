"""Toxics of a silent path: data stall, or vanish, while the connection looks alive."""

from __future__ import annotations

from rtlab.faults.toxics.toxic_registry_and_base_classes import (
    HoldingStage,
    Number,
    Toxic,
    ToxicStage,
    works_as,
)

__all__ = ["Blackhole", "Stall", "Timeout"]


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


class Timeout(Toxic):
    """Swallow all data, and close after `timeout` milliseconds (0: never).

    Imitates a peer that accepts, never answers, and then gives up. Removing the toxic closes
    the connections. An end of stream closes them too, so it cannot imitate a dead path;
    `blackhole` does.
    """

    timeout: Number = 0


@works_as("timeout", Timeout)
class TimeoutStage(ToxicStage[Timeout]):
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
        self.end("fin", "timeout removed")  # as in Toxiproxy: the stream has a gap
