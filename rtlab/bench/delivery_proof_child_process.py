"""The process of the delivery proof's clients: ``python -m rtlab.bench.delivery_proof_child_process``.

In a process of their own, all clients can be stopped at once (SIGSTOP). Each line of the process's input
is a `Plan`, a relay's port that it asked for, or a word; each line of its output is a `Said`. The process
ends at the end of its input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from rtlab.bench.delivery_proof_sender_and_receiver import back_in_room, follow, send
from rtlab.client.connection import Connection
from rtlab.client.delivery.retransmission import DeliveryMode
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.measure.ledger_message_stamp import MessageIdentity
from rtlab.patterns.realtime_client import RealtimeConnection
from rtlab.policies.backoff import Constant
from rtlab.policies.missed_heartbeats_and_dead_peers import Ping

__all__ = ["MODES", "Plan", "Record", "Said", "main"]

MODES: Final[tuple[DeliveryMode, ...]] = ("at_most_once", "at_least_once", "effectively_once")
_LINE_BYTES: Final = 1 << 16
TIMEOUT: Final = 120.0


class Plan(msgspec.Struct):
    """The plan of one round: the transport, the server's URLs, and the load.

    Each client sends ``count`` messages, the last one after the path is healed. ``url`` and ``ws_url`` lead
    through the fault proxy, ``direct_url`` does not (it is for WebRTC's signalling). ``together`` is the
    number of messages between two pauses. ``heartbeat`` is the interval and timeout of pings in seconds,
    for transports that have pings.
    """

    kind: str
    room: str
    url: str
    ws_url: str
    direct_url: str
    count: int
    together: int
    heartbeat: tuple[float, float] | None


class Record(msgspec.Struct):
    """What one client saw.

    Parameters
    ----------
    sent, ok, failed : int and lists of int
        How many messages the client sent; the numbers of those acknowledged, and of those that failed.
    arrived : list of int
        Numbers of bob's messages in the order of arrival, with -1 in place of each resync.
    """

    sent: int = 0
    ok: list[int] = []
    failed: list[int] = []
    arrived: list[int] = []


class Said(msgspec.Struct, omit_defaults=True):
    """One line to the parent process: a word, and its arguments if it has any."""

    word: str
    text: str = ""
    port: int = 0
    records: dict[str, Record] = {}


class _Records:
    """Keeps what the clients see (it is a `Notes`), and sets `all_came` when each has bob's last message."""

    def __init__(self, last: int) -> None:
        self.of: dict[str, Record] = {mode: Record() for mode in MODES}
        self.all_came = asyncio.Event()
        self._last = last
        self._missing: set[str] = set(MODES)

    def stamp(self, sender: str) -> MessageIdentity:
        record = self.of[sender]
        record.sent += 1
        return MessageIdentity(sender, record.sent - 1)

    def ok(self, stamp: MessageIdentity) -> None:
        self.of[stamp.sender].ok.append(stamp.number)

    def failed(self, stamp: MessageIdentity) -> None:
        self.of[stamp.sender].failed.append(stamp.number)

    def watch(self, receiver: str) -> None: ...

    def arrived(self, receiver: str, stamp: MessageIdentity) -> None:
        if stamp.sender != "bob":
            return  # only bob keeps account of the messages of the other clients
        self.of[receiver].arrived.append(stamp.number)
        if stamp.number == self._last:
            self._missing.discard(receiver)
            if not self._missing:
                self.all_came.set()

    def resync(self, receiver: str) -> None:
        self.of[receiver].arrived.append(-1)


class _Parent:
    """The lines to and from the parent process, which runs the proof."""

    def __init__(self, lines: asyncio.StreamReader) -> None:
        self._lines = lines
        self._ports: asyncio.Queue[int] = asyncio.Queue()
        self._asking = asyncio.Lock()
        self.words: asyncio.Queue[str | Plan | None] = asyncio.Queue()

    async def listen(self) -> None:
        """Read lines until the end of the input: ports go to `relay`, plans and words to `words`."""
        try:
            while line := await self._lines.readline():
                value = msgspec.json.decode(line)
                if isinstance(value, int):
                    self._ports.put_nowait(value)
                elif isinstance(value, str):
                    self.words.put_nowait(value)
                else:
                    self.words.put_nowait(msgspec.convert(value, Plan))
        finally:
            self.words.put_nowait(None)

    def say(self, word: str, **more: Any) -> None:
        """Print one line."""
        sys.stdout.buffer.write(msgspec.json.encode(Said(word, **more)) + b"\n")
        sys.stdout.buffer.flush()

    async def relay(self, mode: str, port: int) -> int:
        """Have the parent point a client's relay at a port of the server; return the relay's own port."""
        async with self._asking:
            self.say("relay", text=mode, port=port)
            return await self._ports.get()

    async def wait_for(self, word: str) -> None:
        """Wait until the parent sends this word."""
        async with asyncio.timeout(TIMEOUT):
            while (got := await self.words.get()) != word:
                if got is None:
                    raise EOFError("the parent is gone")


def _make(plan: Plan, parent: _Parent, mode: str) -> Connection:
    options: dict[str, Any] = {
        "backoff": Constant(0.02, min_uptime=0.0),
        "request_timeout": max(0.5, sum(plan.heartbeat or ())),  # longer than a late answer takes
        "retry_initial": True,  # on a busy machine even the first connect may time out
    }
    beats: dict[str, Any] = {} if plan.heartbeat is None else {"heartbeat": Ping(*plan.heartbeat)}
    makers: dict[str, Callable[[], Connection]] = {
        "websocket": lambda: WebSocketConnection(plan.ws_url, **beats, **options),
        "sse": lambda: ServerSentEvents(plan.url, **options),
        "longpoll": lambda: LongPolling(plan.url, **options),
        "fallback": lambda: RealtimeConnection(plan.url, deadline=0.5, **options),
        "webrtc": lambda: WebRTCChannel(
            plan.direct_url,
            relay=partial(parent.relay, mode),
            **beats,
            connect_timeout=3.0,  # a killed server never answers an offer
            **options,
        ),
    }
    return makers[plan.kind]()


async def _round(plan: Plan, parent: _Parent) -> None:
    records = _Records(plan.count - 1)
    clients: dict[DeliveryMode, Connection] = {mode: _make(plan, parent, mode) for mode in MODES}
    try:
        for mode, conn in clients.items():
            conn.on("connected", lambda event, conn=conn: parent.say("carried", text=conn.stats.transport))
            await conn.connect()
            follow(records, conn, mode, plan.room)
            await back_in_room(conn, plan.room)
        parent.say("ready")

        async def send_all(count: int) -> None:
            work = [
                send(records, conn, mode, mode, count, plan.room, together=plan.together)
                for mode, conn in clients.items()
            ]
            await asyncio.gather(*work)

        await send_all(plan.count - 1)
        parent.say("sent")
        await parent.wait_for("healed")
        for conn in clients.values():
            await back_in_room(conn, plan.room)
        parent.say("back")
        await parent.wait_for("last")
        await send_all(1)
        async with asyncio.timeout(TIMEOUT):
            await records.all_came.wait()
        parent.say("records", records=records.of)
    finally:
        for conn in clients.values():
            await conn.close()


async def main() -> None:
    """Carry out the plans that the parent sends."""
    lines = asyncio.StreamReader(_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    parent = _Parent(lines)
    listening = asyncio.create_task(parent.listen())
    rounds = asyncio.create_task(_rounds(parent))
    try:
        # When the parent ends, stop at once: a round would go on for minutes with nobody to report to.
        await asyncio.wait([listening, rounds], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (listening, rounds):
            task.cancel()
        await asyncio.gather(listening, rounds, return_exceptions=True)


async def _rounds(parent: _Parent) -> None:
    while (plan := await parent.words.get()) is not None:
        if not isinstance(plan, Plan):
            continue
        try:
            await _round(plan, parent)
        except Exception as error:
            parent.say("broke", text=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    asyncio.run(main())
