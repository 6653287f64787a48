"""How long dead peers go unnoticed: measured on real connections, judged by Kolmogorov and Smirnov.

A fault silences the path at one moment; each connection was opened at a random moment, so
the fault meets its heartbeat at a random place of the cycle. What the times should be is for
`rtlab.models.detection` to say; here a law is only a function that the caller brings.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rtlab.client.connection import Connection
from rtlab.errors import LabError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["detection_times", "ks_bound", "ks_distance"]

#: Connections that open at the same time: the rest waits, so that none is slow to answer.
_OPENING = 16


async def detection_times(
    connections: Sequence[Connection],
    strike: Callable[[], Awaitable[object]],
    *,
    spread: float,
    settle: float,
    timeout: float,
    seed: int = 1,
) -> NDArray[np.float64]:
    """Open connections at random moments, silence them all at one, and wait until each has noticed.

    Parameters
    ----------
    connections : sequence of Connection
        Not opened yet, with a heartbeat and ``max_reconnect_attempts=0``: an attempt through a
        silent path would keep the others waiting. They are closed afterwards.
    strike : callable
        Awaited once, silences the path: ``lab.faults.blackhole``.
    spread : float
        Seconds over which they open; a few times the heartbeat's interval, so that their
        phases are uniform.
    settle : float
        Seconds between the last opening and the fault, more than one interval.
    timeout : float
        Seconds to wait for the slowest.
    seed : int
        Source of the opening moments.

    Returns
    -------
    array of float, shape (len(connections),)
        Seconds from the fault to the ``disconnected`` event; ``inf`` where none came.

    Raises
    ------
    ConnectFailed
        When one cannot open.
    LabError
        When one was lost before the fault, a false alarm of its heartbeat say: it tells why.
    """
    lost_at = np.full(len(connections), math.inf)
    left = len(connections)
    reasons: list[str] = []
    settled = asyncio.Event()

    def watch(index: int) -> Callable[[Any], None]:
        def lost(event: Any) -> None:
            nonlocal left
            lost_at[index] = event.at
            reasons.append(event.reason)
            left -= 1
            if not left:
                settled.set()

        return lost

    for index, connection in enumerate(connections):
        connection.once("disconnected", watch(index))
    try:
        await _open_all(connections, spread, np.random.default_rng(seed))
        await asyncio.sleep(settle)
        if left < len(connections):
            raise LabError(
                f"expected {len(connections)} connections to live until the fault, got {left}: the first "
                f"was lost because of {reasons[0]!r}; a heartbeat that is too strict needs a longer timeout"
            )
        began = time.monotonic()
        await strike()
        struck_at = (began + time.monotonic()) / 2  # somewhere between the call and its answer
        try:
            async with asyncio.timeout(timeout):
                await settled.wait()
        except TimeoutError:
            pass  # they are reported as inf
        return lost_at - struck_at
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))


async def _open_all(connections: Sequence[Connection], spread: float, rng: np.random.Generator) -> None:
    few = asyncio.Semaphore(_OPENING)

    async def open_one(connection: Connection, delay: float) -> None:
        await asyncio.sleep(delay)
        async with few:
            await connection.connect()

    try:
        async with asyncio.TaskGroup() as group:
            delays: list[float] = rng.uniform(0, spread, len(connections)).tolist()
            for connection, delay in zip(connections, delays, strict=True):
                group.create_task(open_one(connection, delay))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures


def ks_distance(
    samples: ArrayLike,
    cdf: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    earliest: ArrayLike | None = None,
) -> float:
    """Return Kolmogorov and Smirnov's D: the widest gap between the samples' steps and a law.

    Parameters
    ----------
    samples : array of float
        In any order; ``inf`` counts as later than everything.
    cdf : callable
        The law: the probability that a value is at most as large, `Uniform.cdf` for instance.
    earliest : array of float, optional
        How small each sample may really have been, where a clock was read late. Then D is
        the least that any samples between these bounds have.

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> ks_distance([0.25, 0.75], lambda x: x)
    0.25
    """
    latest = np.sort(np.asarray(samples, float))
    first = latest if earliest is None else np.sort(np.asarray(earliest, float))
    steps = np.arange(len(latest) + 1) / len(latest)
    return float(max(0.0, (steps[1:] - cdf(latest)).max(), (cdf(first) - steps[:-1]).max()))


def ks_bound(n: int, alpha: float = 0.001) -> float:
    """Return the D that `n` samples of the law itself exceed with probability at most `alpha`.

    √(ln(2/α) / 2n), the Dvoretzky–Kiefer–Wolfowitz inequality with Massart's constant (*The
    Annals of Probability*, 1990): it holds for every n, not only for large ones.

    Parameters
    ----------
    n : int
        Samples.
    alpha : float
        Probability of rejecting a law that is true.

    Returns
    -------
    float

    Examples
    --------
    >>> round(ks_bound(150), 3)
    0.159
    """
    return math.sqrt(math.log(2 / alpha) / (2 * n))
