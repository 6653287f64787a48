"""Sends echo requests on a fixed schedule, and notes when each was sent, handled and answered.

An *open loop* sends when the schedule says, whether or not earlier messages have been answered, as
many independent users do. A late answer never delays the next request, so every message that is
due during a stall measures it (Tene, *How NOT to Measure Latency*, 2013).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from rtlab.errors import LabError
from rtlab.protocol.message_format import fields_of
from rtlab.server.event_loop.high_resolution_timer import open_timer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.client.connection import Connection
    from rtlab.protocol.message_format import Message

__all__ = ["OpenLoopRun", "poisson_times", "send_on_schedule"]

#: Messages after which a sender that is behind its schedule yields, so that the loop reads echoes.
_TURN: Final = 32


class OpenLoopRun(NamedTuple):
    """When each message was due, sent, handled and answered: seconds of ``time.monotonic``.

    Parameters
    ----------
    due, sent : array of shape (messages,)
        When the schedule wanted the message, and when it was passed to ``send``.
    handled : array of shape (messages,)
        When the server handled it, by the server's own stamp; both ends share the machine's clock.
    back : array of shape (messages,)
        When the echo arrived.
    """

    due: NDArray[np.float64]
    sent: NDArray[np.float64]
    handled: NDArray[np.float64]
    back: NDArray[np.float64]

    @property
    def way_up(self) -> NDArray[np.float64]:
        """Seconds from passing each message to ``send`` until the server handled it."""
        return self.handled - self.sent

    @property
    def latency(self) -> NDArray[np.float64]:
        """Seconds from when each message was due until its echo arrived."""
        return self.back - self.due

    def __repr__(self) -> str:
        return f"<OpenLoopRun: {len(self.due):,} messages>"


def poisson_times(rate: float, count: int, seed: int = 0) -> NDArray[np.float64]:
    """Return the send times of a Poisson process with little random error in its mean rate.

    The gaps are exponential and in random order, but stratified: one gap is drawn from each of
    `count` equally likely strata, then all are shuffled. So 1,000 messages take their expected time
    within a tenth of a per cent; with independent gaps it would vary by 3 %.

    Parameters
    ----------
    rate : float
        Messages per second.
    count : int
        Number of messages.
    seed : int
        The same seed gives the same times.

    Returns
    -------
    array of shape (count,)
        Seconds from the start.

    Raises
    ------
    ValueError
        If the rate is not positive, or the count is below 1.

    Examples
    --------
    >>> round(float(poisson_times(rate=100, count=1000)[-1]), 2)
    10.0
    """
    if not 0 < rate < np.inf:
        raise ValueError(f"expected rate > 0, in finite messages per second, got {rate!r}")
    if count < 1:
        raise ValueError(f"expected count >= 1, got {count!r}")
    rng = np.random.default_rng(seed)
    places = (rng.permutation(count) + rng.random(count)) / count
    return np.cumsum(-np.log1p(-places) / rate)


async def send_on_schedule(
    conn: Connection,
    times: NDArray[np.float64],
    send: Callable[[str, Any], Awaitable[object]] | None = None,
    *,
    size: int = 64,
    timeout: float = 10.0,
    seen: Callable[[float], object] | None = None,
) -> OpenLoopRun:
    """Send an echo request at each of these times; return when all echoes have arrived.

    Parameters
    ----------
    conn : Connection
        An open connection to a server on this machine.
    times : array
        Seconds from now, ascending.
    send : callable, optional
        Sends a message of a type with a payload, such as ``batcher.send``; ``conn.send`` by default.
    size : int
        Bytes of padding in each message.
    timeout : float
        Seconds to wait for echoes after the last scheduled time.
    seen : callable, optional
        Called as each echo arrives, with the time when its message was due: for a live plot.

    Returns
    -------
    OpenLoopRun

    Raises
    ------
    LabError
        When messages were lost, or took longer than the timeout.

    Examples
    --------
    ::

        async with MessageBatcher(conn, batch_size=10, flush_interval=0.05) as batcher:
            run = await send_on_schedule(conn, poisson_times(200, 400), batcher.send)
        print(batcher.stats.messages_per_batch, run.way_up.mean())
    """
    count, name, pad = len(times), secrets.token_hex(4), "x" * size
    due, sent, handled, back = (np.full(count, np.nan) for _ in range(4))
    left, done, write = count, asyncio.Event(), send or conn.send

    def came(message: Message) -> None:
        nonlocal left
        payload = fields_of(message.payload)
        if payload.get("run") != name:
            return  # an echo of another run
        n = int(payload["n"])
        left -= bool(np.isnan(back[n]))
        handled[n], back[n] = message.sent or np.nan, time.monotonic()
        if seen is not None:
            seen(float(due[n]))
        if not left:
            done.set()

    conn.on("echo", came)
    try:
        async with asyncio.timeout(float(times[-1]) + timeout):
            due[:] = time.monotonic() + times
            with closing(open_timer(time.monotonic)) as timer:
                for n, at in enumerate(due.tolist()):
                    if at > time.monotonic():
                        await timer.until(at)
                    elif n % _TURN == 0:
                        await asyncio.sleep(0)
                    sent[n] = time.monotonic()
                    await write("echo", {"run": name, "n": n, "pad": pad})
            await done.wait()
    except TimeoutError as error:
        raise LabError(
            f"expected {count:,} echoes, got {count - left:,} in time: is the server alive (`lab.check()`), "
            "and can it handle this rate? Then run the cell again"
        ) from error
    finally:
        conn.off("echo", came)
    return OpenLoopRun(due, sent, handled, back)
