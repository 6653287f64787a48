"""How long messages wait for a long poll, measured by a tap directly in front of the server.

::

    client ── fault proxy (makes the gap) ── tap ── server

The tap records when each request reached the server and when each answer left it, so the waits and the
gaps that cause them are measured separately; neither is taken from the delay that the fault proxy was told
to add. The transit between server and tap, which the tap cannot see, is estimated from messages that found
a poll waiting for them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from rtlab.capture.captured_http_exchanges import Exchange, exchanges
from rtlab.capture.measurement_retry import again_while_busy
from rtlab.capture.tcp_tap import Tap
from rtlab.client.reconnecting_clients.long_polling import LongPolling
from rtlab.errors import LabError, MachineBusy
from rtlab.faults.client.fault_client import FaultClient
from rtlab.measure.event_loop_lag import LoopLag
from rtlab.measure.statistics.bootstrap import bootstrap_mean
from rtlab.processes.owned_tasks import together
from rtlab.protocol.message_format import Message

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rtlab.lab.lab import Lab

__all__ = ["PollDelay", "measure_poll_delay", "measure_poll_delays"]

#: Seconds for connecting, in addition to the duration of the feeds.
_TIMEOUT: Final = 20.0
_ENDLESS: Final = 1_000_000
#: Seconds by which this process's event loop may be late; samples during longer stalls are left out.
_LATE: Final = 0.05


class PollDelay(NamedTuple):
    """What was measured at one rate and one gap.

    Parameters
    ----------
    waits : array of shape (messages,)
        Seconds from the moment a message was sent until the tap saw the answer that carried it, minus
        `transit`: about 0 if a poll was waiting for the message.
    gaps : array of shape (answers,)
        Seconds from an answer's departure until the same client's next request reached the server.
    per_answer : array of shape (answers,)
        Number of messages in each answer.
    transit : float
        Mean seconds from the server to the tap.
    """

    waits: NDArray[np.float64]
    gaps: NDArray[np.float64]
    per_answer: NDArray[np.int64]
    transit: float

    def mean_wait_interval(self, *, resamples: int = 1000, seed: int = 0) -> tuple[float, float]:
        """Return the 95 % confidence interval of the mean wait in seconds, by bootstrap over whole answers.

        Messages in one answer waited together, so the bootstrap draws answers rather than messages.
        """
        first = np.concatenate(([0], np.cumsum(self.per_answer)[:-1]))
        sums = np.add.reduceat(self.waits, first)
        return bootstrap_mean(sums, self.per_answer, resamples=resamples, seed=seed)

    def __repr__(self) -> str:
        return f"<PollDelay: {len(self.waits):,} messages in {len(self.per_answer):,} answers>"


async def measure_poll_delay(
    lab: Lab,
    rate: float,
    gap: float,
    *,
    seconds: float = 5.0,
    clients: int = 8,
    seed: int = 0,
    process: Literal["poisson", "fixed"] = "poisson",
) -> PollDelay:
    """Let long-polling clients receive feeds over a path with a longer round trip; measure the waits.

    Parameters
    ----------
    lab : Lab
        A lab with a fault-proxy process, in which the measurement creates a proxy of its own.
    rate : float
        Messages per second to each client.
    gap : float
        Round trip in seconds that the fault proxy adds between an answer and the next request. The measured
        gaps also include the time that the clients and the machine take.
    seconds : float
        Duration of the measurement; each client receives about rate · seconds messages.
    clients : int
        Number of concurrent clients, each with a feed of its own.
    seed : int
        Seed of the feeds' random arrival times.
    process : {"poisson", "fixed"}
        Whether messages are sent as a Poisson process or at fixed intervals.

    Returns
    -------
    PollDelay

    Raises
    ------
    LabError
        When messages were lost, or the measurement takes much too long.
    MachineBusy
        When stalls of this process spoiled more than half of the messages, also at the third attempt.

    Notes
    -----
    Times are taken in this process, so gaps and waits during which its own event loop stalled for 50 ms
    or more are left out. A stall while a poll waits for a message affects neither. (Leaving out the whole
    time from answer to answer instead would favour answers in quick succession, whose messages have
    waited: if half of the data were left out, the mean wait of rare messages, at 1.2/s and a gap of 0.2 s,
    would come out 1.6 times too long.)

    Examples
    --------
    ::

        seen = await measure_poll_delay(lab, rate=10, gap=0.1)
        seen.waits.mean()
    """
    [delay] = await measure_poll_delays(
        lab, {(rate, gap): clients}, seconds=seconds, seed=seed, process=process
    )
    return delay


async def measure_poll_delays(
    lab: Lab,
    points: Mapping[tuple[float, float], int],
    *,
    seconds: float = 5.0,
    seed: int = 0,
    process: Literal["poisson", "fixed"] = "poisson",
    progress: Callable[[float, str], None] | None = None,
) -> list[PollDelay]:
    """Measure at several rates and gaps at the same time; if one measurement fails, the others end too.

    No client starts its feed while others still connect, because connecting makes the event loop late. A
    point that a busy machine spoiled is measured again alone, with half of its clients and then with a
    quarter, but at least two.

    Parameters
    ----------
    points : mapping
        (messages per second, gap in seconds) → number of clients.
    progress : callable, optional
        Called with the share of points that are done, from 0 to 1, and a text that says what comes next.
    lab, seconds, seed, process
        As in `measure_poll_delay`.

    Returns
    -------
    list of PollDelay
        In the order of `points`.

    Raises
    ------
    LabError, MachineBusy
        As `measure_poll_delay` does.

    Examples
    --------
    ::

        rare, busy = await measure_poll_delays(lab, {(1.2, 0.2): 24, (30, 0.2): 3})
    """
    everyone, alone, done = asyncio.Barrier(sum(points.values())), asyncio.Lock(), 0

    def tell(text: str) -> None:
        if progress is not None:
            progress(done / len(points), text)

    async def point(rate: float, gap: float, clients: int) -> PollDelay:
        nonlocal done
        plans = [
            {"rate": float(rate), "count": _ENDLESS, "seed": seed + n, "process": process}
            for n in range(clients)
        ]

        async def measure(attempt: int) -> PollDelay:
            if not attempt:
                return await _measure(lab, float(gap), plans, seconds, everyone)
            fewer = plans[: max(2, clients >> attempt)]
            async with alone:
                return await _measure(lab, float(gap), fewer, seconds, asyncio.Barrier(len(fewer)))

        seen = await again_while_busy(measure, again=lambda why: tell(f"{rate:g}/s: {why}"))
        done += 1
        tell(f"{rate:g}/s: done")
        return seen

    tell(f"{seconds:g} s")
    return await together(*(point(*place, clients) for place, clients in points.items()))


async def _measure(
    lab: Lab, gap: float, plans: list[dict[str, Any]], seconds: float, ready: asyncio.Barrier
) -> PollDelay:
    """Make one measurement, with one client for each plan."""
    async with Tap(lab.url) as tap:
        lag = LoopLag(late=_LATE)
        port = urlsplit(tap.url).port
        assert port is not None
        proxy = FaultClient(
            lab.faults.api_url, lab.faults.token, "127.0.0.1", port, name=f"poll delay {port}"
        )
        async with proxy:
            await proxy.rtt(gap * 1000)
            try:
                async with asyncio.timeout(seconds + _TIMEOUT):
                    lag.start()
                    came = await together(*(_client(proxy.url, plan, seconds, ready) for plan in plans))
            except TimeoutError as error:
                raise LabError(
                    f"expected {len(plans)} clients to end in time, got a timeout: run the cell again"
                ) from error
            finally:
                lag.stop()
        return _read(tap, sum(came), lag.stretches())


async def _client(url: str, plan: dict[str, Any], seconds: float, ready: asyncio.Barrier) -> int:
    """Receive a feed for `seconds` once all clients have connected; return the number of messages."""
    came = 0

    def count(_: Message) -> None:
        nonlocal came
        came += 1

    async with LongPolling(url, max_reconnect_attempts=0) as conn:
        conn.on("feed", count)
        await ready.wait()
        feed = (await conn.request("feed", plan)).payload["feed"]
        await asyncio.sleep(seconds)
        # The answer to this request is queued behind the feed's messages, so all of them arrive first.
        await conn.request("feed", {"stop": feed})
    return came


def _read(tap: Tap, expected: int, stalls: NDArray[np.float64]) -> PollDelay:
    """Pair each answer with the client's previous one, and leave out pairs that a stall affected."""

    def stalled(begin: float, end: float) -> bool:
        return bool(((stalls[:, 0] < end) & (stalls[:, 1] > begin)).any())

    polls: defaultdict[str, list[Exchange]] = defaultdict(list)
    for connection in tap.connections:
        for exchange in exchanges(connection):
            if exchange.path == "/poll" and "cursor" in exchange.query:
                polls[exchange.query["session"]].append(exchange)
    waits: list[float] = []
    gaps: list[float] = []
    per_answer: list[int] = []
    transits: list[float] = []
    spoiled = 0
    for asked in polls.values():
        asked.sort(key=lambda exchange: exchange.asked)
        for before, exchange in pairwise(asked):
            sent = [m.sent for m in exchange.messages if m.type == "feed" and m.sent is not None]
            if not sent:
                continue
            arrived = max(exchange.asked, sent[0])
            # A message sent before the tap saw the previous answer means that a stall delayed the tap: the
            # gap would look too short.
            begun = min(before.answered, sent[0])
            if stalled(begun, exchange.asked) or stalled(arrived, exchange.answered):
                spoiled += len(sent)
            else:
                waits += [exchange.answered - at for at in sent]
                gaps.append(exchange.asked - before.answered)
                per_answer.append(len(sent))
                if sent[0] > exchange.asked:  # the poll was already waiting at the server
                    transits.append(exchange.answered - sent[0])
    seen = len(waits) + spoiled
    if seen < 0.95 * expected:  # each client's first answer is not counted
        raise LabError(f"expected {expected:,} messages at the tap, got {seen:,}: run the cell again")
    if len(waits) < spoiled:
        raise MachineBusy(
            f"expected a loop that keeps up, got one whose stalls spoiled {spoiled:,} of {seen:,} messages: "
            "close what needs the processor, and run the cell again"
        )
    transit = float(np.mean(transits)) if transits else 0.0
    return PollDelay(np.array(waits) - transit, np.array(gaps) + 2 * transit, np.array(per_answer), transit)
