"""Bytes on the wire: what connecting, a push and a send cost on each transport, counted by a tap.

Packets are counted in two ways. The *model* cuts each portion that came through the tap
into segments of 1,448 bytes and adds 52 bytes of IP and TCP headers to each (28 bytes of
IP and UDP to a datagram); it leaves bare acknowledgements out. The *kernel* counts the
segments that were really sent, acknowledgements included.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from rtlab.capture.measurement_retry import again_while_busy
from rtlab.capture.tcp_tap import Flow, Tap
from rtlab.capture.traffic_parser import Split, split_traffic
from rtlab.capture.udp_tap import DATAGRAM_HEADER_BYTES, Datagrams, UdpTap
from rtlab.capture.wire_cost_tables import SEGMENT_HEADER_BYTES, WireCost, WireReport
from rtlab.client.client_factory_by_transport import check_transports, make_client
from rtlab.errors import LabError, MachineBusy
from rtlab.processes.owned_tasks import together
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message
from rtlab.protocol.transport_names import TRANSPORTS

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab

__all__ = ["measure_wire"]

#: Segments that the model adds for each TCP connection: SYN and ACK up, SYN-ACK down.
_HANDSHAKE: Final = {True: 2, False: 1}

#: Messages per second: so few that none shares a segment or response. Each retry divides by `_SLOWER`.
_RATE: Final = 50.0
_SLOWER: Final = 4.0
_TIMEOUT: Final = 10.0


class _Snapshot(msgspec.Struct):
    """Everything counted so far in one direction."""

    flow: Flow
    connections: int
    split: Split
    datagrams: Datagrams
    message_bytes: int

    @property
    def stream_bytes(self) -> int:
        return self.flow.bytes + self.datagrams.bytes.total()


_Both: TypeAlias = tuple[_Snapshot, _Snapshot]  # counts of the two directions: up, down
_Look: TypeAlias = tuple[int, _Snapshot, _Snapshot]  # a message's number, then the counts up and down


async def measure_wire(
    lab: Lab, transports: tuple[str, ...] = TRANSPORTS, *, size: int = 100, count: int = 50
) -> WireReport:
    """Count the bytes and packets that each transport puts on the wire.

    Parameters
    ----------
    lab : Lab
        A running lab.
    transports : tuple of str
        Names of the transports to measure, in this order.
    size : int
        Bytes of payload of each message.
    count : int
        Messages to average over, in each direction.

    Returns
    -------
    WireReport

    Raises
    ------
    LabError
        If messages were lost.
    MachineBusy
        If even at the third and slowest attempt most messages arrived together, or the tap and the
        client disagreed on the bytes of the messages.

    Examples
    --------
    ::

        report = await measure_wire(lab, ("websocket", "longpoll"))
        report.per_message
    """
    check_transports(transports)
    if count < 1:
        raise ValueError(f"expected count >= 1, got {count}")
    ones = [partial(_one, lab, transport, size, count) for transport in transports]
    each = await together(*map(again_while_busy, ones))  # byte counts do not depend on other load
    costs = [cost for one in each for cost in one]
    return WireReport(costs, size, count, encrypted=lab.url.startswith("https"))


class _TappedClient:
    """One client behind its taps."""

    def __init__(self, transport: str, tap: Tap, udp: UdpTap, conn: Connection, *, encrypted: bool) -> None:
        self.transport = transport
        self.tap = tap
        self.udp = udp
        self.conn = conn
        self.encrypted = encrypted

    def look(self, up: bool) -> _Snapshot:
        split = Split()
        for connection in () if self.encrypted else self.tap.connections:
            split.add(split_traffic(bytes(connection.up), bytes(connection.down))[0 if up else 1])
        stats = self.conn.stats
        return _Snapshot(
            self.tap.flow(up=up),
            len(self.tap.connections),
            split,
            self.udp.flow(up=up),
            stats.bytes_out if up else stats.bytes_in,
        )

    @property
    def countable(self) -> bool:
        """Whether the tap can count messages; it cannot if they are encrypted."""
        return self.transport != "webrtc" and not self.encrypted

    async def both(self) -> _Both:
        await self.tap.quiet()
        await self.udp.quiet()
        return self.look(up=True), self.look(up=False)

    def costs(self, step: str, before: _Both | None, after: _Both, count: int) -> list[WireCost]:
        zero = _Snapshot(Flow(), 0, Split(), Datagrams(), 0)
        first, last = before or (zero, zero), after
        return [
            self._cost(step, direction == "up", first[i], last[i], count)
            for i, direction in enumerate(("up", "down"))
        ]

    def _cost(self, step: str, up: bool, before: _Snapshot, after: _Snapshot, count: int) -> WireCost:
        flow, datagrams = after.flow - before.flow, after.datagrams - before.datagrams
        split = Split()
        split.add(after.split)
        split.add(before.split, -1)
        payload = after.message_bytes - before.message_bytes
        if self.countable and split.payload_bytes != payload:
            raise MachineBusy(  # one count was read before it had caught up with the other
                f"{step} over {self.transport}: expected the tap to see {payload:,} bytes of messages that "
                f"the client counted, got {split.payload_bytes:,}: close what needs the processor, and run "
                "the cell again"
            )
        stream = after.stream_bytes - before.stream_bytes
        handshakes = (after.connections - before.connections) * _HANDSHAKE[up]
        segments = flow.segments + handshakes
        packets = segments + datagrams.count.total()
        wire = stream + SEGMENT_HEADER_BYTES * segments + DATAGRAM_HEADER_BYTES * datagrams.count.total()
        kernel = flow.kernel_segments
        hidden = self.encrypted
        return WireCost(
            transport=self.transport,
            step=step,
            direction="up" if up else "down",
            payload_bytes=payload / count,
            framing_bytes=None if hidden else (stream - split.http_bytes - payload) / count,
            http_bytes=None if hidden else split.http_bytes / count,
            stream_bytes=stream / count,
            packets=packets / count,
            wire_bytes=wire / count,
            kernel_packets=None if kernel is None else (kernel + datagrams.count.total()) / count,
        )


@asynccontextmanager
async def _tapped(lab: Lab, transport: str) -> AsyncGenerator[_TappedClient]:
    async with Tap(lab.url) as tap, UdpTap() as udp:
        conn = make_client(transport, tap.url, ssl=lab.ssl, relay=udp.relay)
        async with conn:
            yield _TappedClient(transport, tap, udp, conn, encrypted=lab.url.startswith("https"))


async def _one(lab: Lab, transport: str, size: int, count: int, attempt: int) -> list[WireCost]:
    async with _tapped(lab, transport) as tapped:
        connected = await tapped.both()
        costs = tapped.costs("connect", None, connected, 1)
        begun, ended, pushed = await _push(tapped, size, count, _RATE / _SLOWER**attempt)
        costs += tapped.costs("push", begun, ended, pushed)
        before = await tapped.both()
        await _send(tapped, size, count)
        costs += tapped.costs("send", before, await tapped.both(), count)
    return costs


async def _push(tapped: _TappedClient, size: int, count: int, rate: float) -> tuple[Any, Any, int]:
    """Let the server push; return the counts at two messages, and the number of messages between them.

    The counts are read in the message handler, so the traffic that a message causes (the next poll, say)
    lies between two counts. The first message does not count: it may arrive before the response to the
    request. Messages in one response share its head, so only the longest run of single ones counts.
    Where the tap cannot count messages it was ahead of the client if the next one added too few bytes.
    """
    conn, done = tapped.conn, asyncio.Event()
    apart: list[_Look] = []
    longest: list[_Look] = []
    seen, last = 0, tapped.look(up=False)

    def came(message: Message) -> None:
        nonlocal apart, longest, seen, last
        number = message.payload["n"]
        up, down = tapped.look(up=True), tapped.look(up=False)
        before, seen = seen, down.split.payload_bytes
        early = down.stream_bytes - last.stream_bytes < down.message_bytes - last.message_bytes
        last = down
        if early and apart:
            apart.pop()  # the tap had this message already when the client got the one before
            apart = []
        if tapped.countable and (seen == before or seen != down.message_bytes):
            apart = []  # this message shares its response with the one before or after it
        elif number > 0:
            apart.append((number, up, down))
            longest = max(longest, apart, key=len)
        if message.payload.get("last", False):
            done.set()

    conn.on("feed", came)
    try:
        async with asyncio.timeout(count / rate + _TIMEOUT):
            await conn.request("feed", {"rate": rate, "size": size, "count": count + 2})
            await done.wait()
    except TimeoutError as error:
        raise LabError(f"a feed over {tapped.transport} did not end in time") from error
    finally:
        conn.off("feed", came)
    if len(longest) < 2 or len(longest) <= count / 2:  # between two of them lies at least one
        raise MachineBusy(
            f"expected the messages over {tapped.transport} one by one, got most of them together: "
            "close what needs the processor, and run the cell again"
        )
    (begun, *first), (ended, *final) = longest[0], longest[-1]
    return first, final, ended - begun


async def _send(tapped: _TappedClient, size: int, count: int) -> None:
    """Send messages that the server reads but does not answer, one at a time."""
    bare = len(JSON.encode(Message("pong", {"pad": ""}))) - len(JSON.encode(Message("pong", None))) + 4
    payload = {"pad": "x" * max(0, size - bare)}
    for _ in range(count):
        before = tapped.tap.flow(up=True).bytes
        await tapped.conn.send("pong", payload)
        if tapped.transport == "webrtc":
            await tapped.udp.quiet(0.01)
        else:
            await tapped.tap.moved(before + size)
