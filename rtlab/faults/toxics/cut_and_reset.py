"""Toxics that end connections: cut now or at once, reset, closed slowly, or closed after so many bytes."""

from __future__ import annotations

from typing import Literal

from rtlab.faults.toxics.toxic_registry_and_base_classes import (
    HoldingStage,
    Number,
    Toxic,
    ToxicStage,
    works_as,
)

__all__ = ["AcceptThenClose", "Cut", "LimitData", "ResetPeer", "SlowClose"]


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


class ResetPeer(Toxic):
    """Reset the connection (RST) `timeout` milliseconds after data arrive.

    Those data are lost. Imitates a crashed process or a firewall that has
    forgotten the connection. Idle connections stay open, so it cannot imitate a
    crash that resets all connections at once; `cut` does.
    """

    timeout: Number = 0


@works_as("reset_peer", ResetPeer)
class ResetPeerStage(ToxicStage[ResetPeer]):
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
        if self._timer is not None:  # removed before the timeout: data were lost, so reset now
            self._reset()


class SlowClose(Toxic):
    """Hold back the end of the stream for `delay` milliseconds; data pass at once.

    Imitates a middlebox that reports late that one side has closed. A reset cannot be held
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


class LimitData(Toxic):
    """Close the connection after `bytes` bytes, counted from when the toxic is added.

    Imitates a gateway with a quota, and a download that breaks off. TCP ends in order (FIN),
    possibly in the middle of a message; `kill_midframe` can reset there, but cannot count
    bytes.
    """

    bytes: int = 0


@works_as("limit_data", LimitData)
class LimitDataStage(ToxicStage[LimitData]):
    _passed = 0

    def feed(self, data: bytes) -> None:
        attributes = self.attributes
        data = bytes(data)[: max(0, attributes.bytes - self._passed)]
        self._passed += len(data)
        if data:
            self.next.feed(data)
        if self._passed >= attributes.bytes:
            self.end("fin", f"limit of {attributes.bytes} bytes")


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
