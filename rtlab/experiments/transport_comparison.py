"""The four transports side by side, measured in turns on one server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

from rtlab.capture.udp_tap import UdpTap
from rtlab.capture.wire_cost import measure_wire
from rtlab.client.factory import TRANSPORTS, HasUrl, check_transports, make_client, tls_of
from rtlab.errors import LabError
from rtlab.experiments.comparison import Comparison, Turn
from rtlab.measure.cpu import cpu_seconds
from rtlab.measure.recorder import Recorder

if TYPE_CHECKING:
    import ssl as ssl_module

    from rtlab.client.connection import Connection
    from rtlab.client.events import Disconnected
    from rtlab.protocol.messages import Message

__all__ = ["Path", "Progress", "Watch", "compare", "path_to", "server_pid", "take_feed"]

#: Called with the share that is done, 0 to 1, and what is being done.
Progress = Callable[[float, str], object]

#: Seconds that one transport has its turn.
_TURN: Final = 0.5
_MIN_TURNS: Final = 3
_ECHOES: Final = 10
_TIMEOUT: Final = 15.0
#: Messages that the bytes are averaged over.
_WIRE_MESSAGES: Final = 12


class _Faults(Protocol):
    @property
    def port(self) -> int: ...
    def rtt(self, ms: float, *, handshake: bool = False) -> Any: ...


class Path(NamedTuple):
    """How a client gets to the server.

    Parameters
    ----------
    url : str
        Direct, or through the fault proxy.
    ssl : ssl.SSLContext or None
        What the client trusts.
    delay : float
        Seconds that each of WebRTC's packets is held in each direction: the fault
        proxy carries TCP only, so a relay in this process stands in for it.
    """

    url: str
    ssl: ssl_module.SSLContext | None
    delay: float

    @asynccontextmanager
    async def client(self, transport: str) -> AsyncGenerator[Connection]:
        """Open a client on this path, and close it afterwards."""
        async with AsyncExitStack() as stack:
            relay = None
            if transport == "webrtc" and self.delay:
                relay = (await stack.enter_async_context(UdpTap(self.delay))).relay
            conn = make_client(transport, self.url, ssl=self.ssl, relay=relay)
            yield await stack.enter_async_context(conn)


@asynccontextmanager
async def path_to(lab: HasUrl, rtt_ms: float | None) -> AsyncGenerator[Path]:
    """Make the way to a lab's server this long, for the time of the block.

    Parameters
    ----------
    lab : HasUrl
        With a fault proxy, unless `rtt_ms` is None.
    rtt_ms : float or None
        Milliseconds added to a round trip, TCP's handshake included; None goes to
        the server directly.
    """
    if rtt_ms is None:
        yield Path(lab.url, tls_of(lab), 0.0)
        return
    if not 0 <= rtt_ms <= 10_000:
        raise ValueError(f"expected rtt_ms from 0 to 10,000, got {rtt_ms!r}")
    faults = cast("_Faults", cast("Any", lab).faults)
    scheme = lab.url.partition(":")[0]
    async with faults.rtt(rtt_ms, handshake=True):
        yield Path(f"{scheme}://127.0.0.1:{faults.port}", tls_of(lab), rtt_ms / 2e3)


async def server_pid(lab: HasUrl) -> int:
    """Ask the lab's server for its process id."""
    import httpx

    ssl = tls_of(lab)
    async with httpx.AsyncClient(trust_env=False, verify=ssl if ssl is not None else False) as http:
        answer = await http.get(f"{lab.url}/stats", headers={"Authorization": f"Bearer {lab.token}"})
    return int(answer.raise_for_status().json()["pid"])


class Watch:
    """CPU seconds of the server and of this process, since it was made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._server, self._client = cpu_seconds(pid), cpu_seconds()
        self._began = time.monotonic()

    def read(self) -> tuple[float, float, float]:
        """Return the server's CPU seconds, this process's, and the time that passed."""
        return (
            cpu_seconds(self._pid) - self._server,
            cpu_seconds() - self._client,
            time.monotonic() - self._began,
        )


async def compare(
    lab: HasUrl,
    transports: tuple[str, ...] = TRANSPORTS,
    *,
    # Load
    seconds: float = 3.0,
    rate: float = 200.0,
    size: int = 100,
    rtt_ms: float | None = None,
    # What to show meanwhile
    recorder: Recorder | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Measure the transports against each other.

    They take turns of half a second, in an order that rotates, so that whatever else
    the machine does hits all of them. Each turn opens a fresh connection, asks for some
    echoes one after the other, and then takes a feed that the server sends on a fixed
    schedule, whatever happens to it: a stall shows in all the messages that it delays.

    Parameters
    ----------
    lab : HasUrl
        A running lab.
    transports : tuple of str
        Which.
    seconds : float
        Feed for each transport, in total.
    rate : float
        Messages a second.
    size : int
        Bytes of each payload.
    rtt_ms : float, optional
        Milliseconds to add to a round trip, with ``Lab(faults=True)``: then TCP goes
        through the fault proxy, and WebRTC's packets through a relay in this process.
    recorder : Recorder, optional
        Where the feed's samples go, each transport a series: give the one that a live
        plot shows.
    progress : callable, optional
        Called with the share that is done and a few words.

    Returns
    -------
    Comparison
        Its ``frame`` is the table.

    Raises
    ------
    LabError
        When a feed did not end in time, or its connection was lost.

    Examples
    --------
    ::

        result = await compare(lab, seconds=5)
        result.frame
        result.plot()
    """
    check_transports(transports)
    if not (seconds > 0 and rate > 0):
        raise ValueError(f"expected seconds and rate above 0, got {seconds!r} and {rate!r}")
    kept = recorder if recorder is not None else Recorder()
    began_at = kept.position
    rounds = max(_MIN_TURNS, round(seconds / _TURN))
    count = max(2, round(rate * seconds / rounds))
    tell = progress if progress is not None else _silent
    steps, done = rounds * (len(transports) + 1) + 2, 0
    turns: list[Turn] = []
    pid = await server_pid(lab)
    ticking = object()  # the recorder's owner may have its own reason to let the ticker run
    kept.loop_lag.start(ticking)
    try:
        async with path_to(lab, rtt_ms) as path:
            for number in range(rounds):
                order = [transports[(number + i) % len(transports)] for i in range(len(transports))]
                idle = await _idle(pid, min(_TURN / 2, count / rate))
                done += 1
                for name in order:
                    tell(done / steps, f"turn {number + 1} of {rounds}: {name}")
                    turns.append(await _turn(path, name, kept, pid, rate, size, count, idle))
                    done += 1
    finally:
        kept.loop_lag.stop(ticking)
    tell(done / steps, "bytes on the wire")
    wire = await measure_wire(lab, transports, size=size, count=_WIRE_MESSAGES)
    tell(1.0, "done")
    return Comparison(
        transports, turns, kept, wire, rate=rate, size=size, rtt_ms=rtt_ms, first_sample=began_at
    )


def _silent(_share: float, _text: str) -> None:
    """Tell nobody."""


async def _idle(pid: int, seconds: float) -> tuple[float, float]:
    """Return what server and client use when nothing happens, in CPU seconds a second."""
    watch = Watch(pid)
    await asyncio.sleep(seconds)
    server, client, passed = watch.read()
    return server / passed, client / passed


async def _turn(
    path: Path,
    transport: str,
    recorder: Recorder,
    pid: int,
    rate: float,
    size: int,
    count: int,
    idle: tuple[float, float],
) -> Turn:
    async with path.client(transport) as conn:
        echoes = [await _echo(conn, size) for _ in range(_ECHOES)]
        with recorder.attach(conn, transport):
            watch = Watch(pid)
            await take_feed(conn, transport, rate, size, count)
            server, client, passed = watch.read()
        return Turn(
            transport=transport,
            connect=conn.stats.connect_time or 0.0,
            # The first goes over paths that the first use makes slow.
            echoes=echoes[1:],
            messages=count,
            server_cpu=server - idle[0] * passed,
            client_cpu=client - idle[1] * passed,
        )


async def _echo(conn: Connection, size: int) -> float:
    began = time.perf_counter()
    await conn.request("echo", {"pad": "x" * size}, timeout=_TIMEOUT)
    return time.perf_counter() - began


async def take_feed(conn: Connection, transport: str, rate: float, size: int, count: int) -> None:
    """Ask for a feed, and return when its last message came.

    Parameters
    ----------
    conn : Connection
        An open one.
    transport : str
        What to call it in an error.
    rate, size, count : float, int, int
        Messages a second, bytes of each payload, how many.

    Raises
    ------
    LabError
        When it did not end in time, or the connection was lost.
    """
    got, done = 0, asyncio.Event()
    reason = ""

    def came(message: Message) -> None:
        nonlocal got
        got += 1
        if message.payload.get("last"):
            done.set()

    def lost(event: Disconnected) -> None:
        nonlocal reason
        reason = f"the {transport} connection was lost ({event.code} {event.reason})"
        done.set()

    conn.on("feed", came)
    conn.on("disconnected", lost)
    try:
        async with asyncio.timeout(count / rate + _TIMEOUT):
            await conn.request("feed", {"rate": rate, "size": size, "count": count}, timeout=_TIMEOUT)
            await done.wait()
    except TimeoutError as error:
        raise LabError(
            f"a feed over {transport} did not end in time: {got} of {count} messages came; "
            "lower the rate, or look at the lab with `lab.check()`"
        ) from error
    finally:
        conn.off("feed", came)
        conn.off("disconnected", lost)
    if reason and got < count:
        raise LabError(f"{reason} after {got} of {count} messages: `lab.check()` says more")
