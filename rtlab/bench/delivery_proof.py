"""One round of the proof of delivery: seeded faults, three modes at once, and the ledger counts.

Quiet, then faults in a mixture that is drawn anew, then healed and read to the end. The clients
behind the faults are a process of their own; the one on the quiet path is in this one.

What a restart of the server loses with the broker in memory: messages that the old server had answered
for and a receiver had not yet, and what was said in the room before the receiver was back in it. The
receiver is told at that place (`resync`), and the ledger counts them as *resynced*. Repeats over a
restart are dropped by (clientId, id) among the newest `REPEAT_WINDOW`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

import msgspec

from rtlab.bench.proof_clients import MODES, Plan, Record
from rtlab.bench.proof_clients_handle import ClientsProcess
from rtlab.bench.proof_sender_receiver import back_in_room, follow, send
from rtlab.client.websocket_connection import WebSocketConnection
from rtlab.errors import LabError
from rtlab.faults.client.fault import Fault
from rtlab.faults.client.fault_client import FaultClient
from rtlab.lab.lab import Lab
from rtlab.measure.ledger import Anomalies, Ledger
from rtlab.measure.message_identity import Stamp
from rtlab.policies.backoff import Constant

__all__ = ["KINDS", "MODES", "Round", "run_round"]

#: What carries the messages; *fallback* goes from one transport to another in the round.
KINDS: Final = ("websocket", "sse", "longpoll", "fallback", "webrtc")
#: Faults that end or hold what flows, by what they are called here.
_ANY: Final = ("stop_server", "stop_client")
_TCP: Final = ("rst", "fin", "midframe", "stall", "lost_ack", *_ANY)
_UDP: Final = ("loss", "blackhole", *_ANY)
_POSTING: Final = ("sse", "longpoll", "fallback")
#: Seconds: of a fault, between two; and how much longer than the heartbeat takes a silence is.
_FAULT: Final = 0.06
_PAST_HEARTBEAT: Final = 1.5
_BETWEEN: Final = (0.02, 0.06)


class Round(msgspec.Struct, frozen=True):
    """What one round did.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    messages : int
        Messages that were sent, in all modes and both directions.
    faults : dict of str to int
        How often each was caused.
    carried : list of str
        The transports that connected in it.
    up : dict of str to Anomalies
        By mode: what the receiver on a quiet path got of each sender behind the faults.
    down : dict of str to Anomalies
        By mode of the receiver behind the faults: what it got of the sender on the quiet path.
    """

    kind: str
    messages: int
    faults: dict[str, int]
    carried: list[str]
    up: dict[str, Anomalies]
    down: dict[str, Anomalies]

    def broken(self) -> list[str]:
        """Return every promise that was broken, in words; nothing, if all is well."""
        once, least, most = (self.up[mode] for mode in reversed(MODES))
        found = {"effectively once": once.names, "at most once": [n for n in most.names if "lost" not in n]}
        found["at least once"] = [n for n in least.names if n not in ("duplicates", "reordered")]
        for mode, account in self.down.items():
            found[f"down to {mode}"] = account.names
        if not self.faults.get("restart"):
            told = [
                mode for side in (self.up, self.down) for mode, account in side.items() if account.resynced
            ]
            found["nothing is resynced without a restart"] = told
        return [f"{self.kind}, {promise}: {', '.join(names)}" for promise, names in found.items() if names]


async def run_round(
    lab: Lab,
    clients: ClientsProcess,
    kind: str,
    seed: int,
    *,
    count: int,
    faults: int,
    heartbeat: tuple[float, float] | None = (0.2, 0.2),
    restarts: int = 1,
    together: int = 4,
    deadline: float = 180.0,
) -> Round:
    """Send messages each way through faults, heal, read to the end, and count.

    Parameters
    ----------
    lab : Lab
        With its fault proxy.
    clients : ClientsProcess
        Who sends through it.
    kind : str
        One of `KINDS`.
    seed : int
        Decides which faults come, and when.
    count : int
        Messages of each sender: one for each mode, and one on the quiet path.
    faults : int
        How many at most; they end when all is sent.
    heartbeat : tuple of (float, float) or None
        Interval and timeout of the clients' pings, in seconds; the path is then a black hole at times, for
        longer than they take. Over WebRTC a ping waits behind all that is in the channel, and a lost
        packet goes again after a second at the earliest (RFC 9260 §16, ``RTO.Min``).
    restarts : int
        How often the server is killed and started anew.
    together : int
        Messages that each sender sends before it waits 10 ms.
    deadline : float
        Seconds until the round counts as one that hangs.

    Raises
    ------
    LabError
        The clients broke, or the round did not end: it says at what, and what had come by then.
    """
    progress = _Progress(Ledger())
    began = time.monotonic()
    try:
        async with asyncio.timeout(deadline):
            rounds = _run(lab, clients, kind, seed, count, faults, heartbeat, restarts, together, progress)
            return await rounds
    except TimeoutError as error:
        spent = time.monotonic() - began
        raise LabError(
            f"a round over {kind} hung, after {spent:.0f} s, while {progress.step}: of each sender's "
            f"{count:,} messages there came {progress.came()}; faults: {progress.faults or 'none'}"
        ) from error


class _Progress:
    """How far a round has come: what it does now, the faults that were caused, and what has arrived."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.step = "the clients connect"
        self.faults: dict[str, int] = {}

    def came(self) -> str:
        """Say what has come up to the receiver on the quiet path."""
        return ", ".join(f"{self.ledger.account('bob', mode).received:,} {mode}" for mode in MODES)


async def _run(
    lab: Lab,
    clients: ClientsProcess,
    kind: str,
    seed: int,
    count: int,
    faults: int,
    heartbeat: tuple[float, float] | None,
    restarts: int,
    together: int,
    progress: _Progress,
) -> Round:
    kinds = _UDP if kind == "webrtc" else (*_TCP, "blackhole") if heartbeat else _TCP
    if kind in _POSTING:
        kinds = (*kinds, "duplicate_post")
    rng, room = random.Random(seed), f"proof-{kind}-{seed}"
    deck, ledger, done = _deck(kinds, restarts, rng), progress.ledger, progress.faults
    silence = _PAST_HEARTBEAT * sum(heartbeat or (0.0, 0.0))
    plan = Plan(kind, room, lab.faults.url, lab.faults.ws_url, lab.url, count, together, heartbeat)
    ledger.watch("bob")
    async with (
        _path(lab, kind) as proxies,
        WebSocketConnection(f"{lab.ws_url}?user=bob", backoff=Constant(0.02, min_uptime=0.0)) as bob,
    ):
        sending: asyncio.Future[Any] | None = None
        try:
            follow(ledger, bob, "bob", room)
            for mode in MODES:
                ledger.watch(mode)
            await bob.join_room(room)
            await clients.begin(plan, {name: proxy.relay for name, proxy in proxies.items()})
            progress.step = "all send, through faults"
            healed = asyncio.Event()
            own = _send_own(ledger, bob, count - 1, room, together, healed)
            sending = asyncio.gather(own, clients.heard("sent"))
            if kind == "fallback":
                # What it tries first does not get through; later it climbs back.
                await _no_upgrade(lab.faults, clients)
                done["no_upgrade"] = 1
            await _break_things(lab, clients, [*proxies.values()], deck, rng, sending, faults, done, silence)
            healed.set()
            progress.step = "all wait for their answers, on a healed path"
            await sending
            clients.say("healed")
            progress.step = "all enter the room again"
            await clients.heard("back")
            await back_in_room(bob, room)
            clients.say("last")
            progress.step = "the last messages go both ways"
            await send(ledger, bob, "bob", "effectively_once", 1, room)
            records = await clients.records()
            await _until_last(ledger, count)
        finally:
            for proxy in proxies.values():
                await proxy.restore()
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
    up, down = _accounts(ledger, records)
    return Round(kind, (len(MODES) + 1) * count, done, sorted(clients.carried), up, down)


async def _send_own(
    ledger: Ledger, bob: WebSocketConnection, count: int, room: str, together: int, healed: asyncio.Event
) -> None:
    """Send from the quiet path, one by one while there are faults: each falls on messages under way."""
    sent = 0
    while sent < count and not healed.is_set():
        await send(ledger, bob, "bob", "effectively_once", 1, room, together=1)
        sent += 1
    await send(ledger, bob, "bob", "effectively_once", count - sent, room, together=together)


def _deck(kinds: Sequence[str], restarts: int, rng: random.Random) -> Iterator[str]:
    """Yield faults: each kind once in an order that is drawn, and all anew; restarts only so often."""
    first = [*kinds, *["restart"] * restarts]
    rng.shuffle(first)
    yield from first
    while True:
        yield from rng.sample(kinds, len(kinds))


def _accounts(
    ledger: Ledger, records: dict[str, Record]
) -> tuple[dict[str, Anomalies], dict[str, Anomalies]]:
    """Bring the clients' records to the ledger, and let it judge."""
    for mode, record in records.items():
        for _ in range(record.sent):
            ledger.stamp(mode)
        for number in record.ok:
            ledger.ok(Stamp(mode, number))
        for number in record.failed:
            ledger.failed(Stamp(mode, number))
        for number in record.arrived:
            if number < 0:
                ledger.resync(mode)
            else:
                ledger.arrived(mode, Stamp("bob", number))
    return {mode: ledger.account("bob", mode) for mode in MODES}, {
        mode: ledger.account(mode, "bob") for mode in MODES
    }


async def _until_last(ledger: Ledger, count: int) -> None:
    """Return when the acknowledged senders' last messages have come: all before them have, or never will."""
    async with asyncio.timeout(60):
        while not all(ledger.has("bob", Stamp(mode, count - 1)) for mode in MODES[1:]):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _path(lab: Lab, kind: str) -> AsyncGenerator[dict[str, FaultClient]]:
    """Yield the proxy that a kind of connection goes through; for WebRTC a relay for UDP for each client."""
    if kind != "webrtc":
        yield {"all": lab.faults}
        return
    async with AsyncExitStack() as stack:
        relays: dict[str, FaultClient] = {}
        for mode in MODES:
            relays[mode] = await lab.faults.udp(name=f"udp-{mode}")
            stack.push_async_callback(relays[mode].close)
        yield relays


async def _no_upgrade(proxy: FaultClient, clients: ClientsProcess) -> None:
    async with proxy.strip_upgrade():
        await proxy.cut()
        async with asyncio.timeout(30):
            while len(clients.carried) < 2:
                await asyncio.sleep(0.02)


async def _break_things(
    lab: Lab,
    clients: ClientsProcess,
    proxies: Sequence[FaultClient],
    deck: Iterator[str],
    rng: random.Random,
    sending: asyncio.Future[Any],
    most: int,
    done: dict[str, int],
    silence: float,
) -> None:
    """Cause faults until all is sent; count them."""

    async def held(seconds: float, make: Callable[[FaultClient], Fault]) -> None:
        async with AsyncExitStack() as stack:
            for proxy in proxies:
                await stack.enter_async_context(make(proxy))
            await asyncio.sleep(seconds)

    async def stop_server() -> None:
        os.kill(lab.pids[0], signal.SIGSTOP)
        try:
            await asyncio.sleep(_FAULT)
        finally:
            with suppress(ProcessLookupError):
                os.kill(lab.pids[0], signal.SIGCONT)

    async def restart() -> None:
        if rng.random() < 0.5:
            lab.kill()  # as a crash; else it ends in an orderly way
        await lab.restart()

    causes: dict[str, Callable[[], Awaitable[object]]] = {
        "rst": lambda: proxies[0].cut("rst"),
        "fin": lambda: proxies[0].cut("fin"),
        "stop_server": stop_server,
        "stop_client": lambda: clients.stopped(_FAULT),
        "restart": restart,
        "midframe": lambda: held(_FAULT, lambda p: p.toxic("kill_midframe", nth=rng.randint(1, 5))),
        "stall": lambda: held(_FAULT, lambda p: p.stall()),
        "lost_ack": lambda: held(_FAULT, lambda p: p.toxic("drop_message", type="ack", nth=1, times=2)),
        "duplicate_post": lambda: held(_FAULT, lambda p: p.duplicate_request(path="/send")),
        "loss": lambda: held(_FAULT, lambda p: p.loss(0.3)),
        "blackhole": lambda: held(silence, lambda p: p.blackhole()),  # past the heartbeat
    }
    while sum(done.values()) < most and not sending.done():
        fault = next(deck)
        await causes[fault]()
        done[fault] = done.get(fault, 0) + 1
        await asyncio.sleep(rng.uniform(*_BETWEEN))
