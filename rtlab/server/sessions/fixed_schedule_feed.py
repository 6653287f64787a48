"""An open-loop message source: it sends on a fixed schedule, however slowly messages are delivered.

The schedule is absolute: a late feed catches up and never skips a message, so that a stall
shows in every message that it delayed (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final, cast

import msgspec

from rtlab.protocol.message_format import Message
from rtlab.server.event_loop.high_resolution_timer import open_timer

__all__ = ["MAX_COUNT", "MAX_RATE", "MAX_SIZE", "Feed", "FeedPlan", "parse_plan"]

# Limits
MAX_RATE: Final = 20_000
MAX_SIZE: Final = 65_536
MAX_COUNT: Final = 1_000_000

#: A feed behind its schedule yields to the event loop after so many messages or bytes.
TURN_MESSAGES: Final = 64
TURN_BYTES: Final = 128 * 1024


class FeedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a ``feed`` request asks for.

    Parameters
    ----------
    rate : float
        Messages per second.
    size : int
        Bytes of each payload as JSON; a payload is padded to this size, and never cut.
    count : int
        Number of messages.
    seed : int
        Seed of the random gaps of ``"poisson"``: the same seed gives the same gaps.
    process : str
        ``"fixed"`` for gaps of 1/rate, or ``"poisson"`` for exponential gaps with that mean.
    """

    rate: float
    size: int = 0
    count: int = 1000
    seed: int = 0
    process: str = "fixed"

    def times(self) -> Iterator[float]:
        """Iterate over the intended send times, in seconds after the start."""
        if self.process == "fixed":
            # Multiplied, not added up: a million additions would drift.
            for n in range(self.count):
                yield n / self.rate
            return
        rng = random.Random(self.seed)
        when = 0.0
        for _ in range(self.count):
            when += rng.expovariate(self.rate)
            yield when


def parse_plan(payload: object) -> FeedPlan:
    """Validate the payload of a ``feed`` request.

    Parameters
    ----------
    payload : object
        What the client sent; it may be anything.

    Returns
    -------
    FeedPlan

    Raises
    ------
    ValueError
        The text names the field, what was expected, and what the client sent.

    Examples
    --------
    >>> parse_plan({"rate": 100, "count": 5}).count
    5
    """
    if not isinstance(payload, dict):
        raise ValueError("expected an object with rate, size and count")
    given = cast("dict[str, Any]", payload)
    rate: Any = given.get("rate")
    if not _number(rate) or not 0 < rate <= MAX_RATE:
        raise ValueError(f"rate: expected messages per second, over 0 up to {MAX_RATE:,}, got {rate!r:.40}")
    process = given.get("process", "fixed")
    if process not in ("fixed", "poisson"):
        raise ValueError(f"process: expected 'fixed' or 'poisson', got {process!r:.40}")
    return FeedPlan(
        rate=float(rate),
        size=_integer(given, "size", 0, 0, MAX_SIZE),
        count=_integer(given, "count", 1000, 1, MAX_COUNT),
        seed=_integer(given, "seed", 0, -(1 << 63), (1 << 64) - 1),
        process=process,
    )


def _number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _integer(given: dict[str, Any], name: str, default: int, low: int, high: int) -> int:
    value: Any = given.get(name, default)
    if not _number(value) or value != int(value) or not low <= value <= high:
        raise ValueError(f"{name}: expected a whole number from {low:,} to {high:,}, got {value!r:.40}")
    return int(value)


class Feed:
    """One running feed and its task.

    Parameters
    ----------
    feed_id : str
        The feed's name; each of its messages carries it.
    plan : FeedPlan
        What to send.
    send : callable
        Takes each message; it must not block.
    clock : callable
        Seconds, monotonic; gives both time stamps of a message, the intended and the actual time.
    ended : callable
        Called with the feed's name when it has sent its last message.
    spent : callable
        Returns whether this turn of the event loop has used up its time slice.
    held_up : callable
        Returns a future to wait for while the session takes no messages, else None. Messages
        that fall due meanwhile are sent late.
    """

    __slots__ = ("_clock", "_ended", "_held_up", "_plan", "_send", "_spent", "_task", "feed_id")

    def __init__(
        self,
        feed_id: str,
        plan: FeedPlan,
        send: Callable[[Message], None],
        clock: Callable[[], float],
        ended: Callable[[str], object],
        spent: Callable[[], bool] = lambda: False,
        held_up: Callable[[], asyncio.Future[None] | None] = lambda: None,
    ) -> None:
        self.feed_id = feed_id
        self._plan = plan
        self._send = send
        self._clock = clock
        self._ended = ended
        self._spent = spent
        self._held_up = held_up
        self._task: asyncio.Task[None] | None = None

    def start(self, gone: Callable[[], object] = lambda: None) -> None:
        """Start the feed's task; `gone` is called when the task has ended, for whatever reason."""
        self._task = asyncio.create_task(self._run(), name=f"feed {self.feed_id}")
        self._task.add_done_callback(lambda _: gone())

    def stop(self) -> None:
        """Cancel the feed; it sends no further message."""
        if self._task is not None:
            self._task.cancel()

    async def wait(self) -> None:
        """Wait until the feed's task has ended."""
        if self._task is not None:
            await asyncio.wait((self._task,))

    def message(self, n: int, when: float) -> Message:
        """Make message `n`, due at `when`, with the present time as ``sent``."""
        payload: dict[str, Any] = {"feed": self.feed_id, "n": n, "pad": ""}
        if n == self._plan.count - 1:
            payload["last"] = True
        missing = self._plan.size - len(msgspec.json.encode(payload))
        payload["pad"] = "x" * max(0, missing)
        return Message("feed", payload, ts=when, sent=self._clock())

    async def _run(self) -> None:
        start = self._clock()
        turn = max(1, min(TURN_MESSAGES, TURN_BYTES // (self._plan.size + 1)))
        with closing(open_timer(self._clock)) as timer:
            for n, offset in enumerate(self._plan.times()):
                when = start + offset
                late = True
                while self._clock() < when:  # an event loop's timer can fire early
                    late = False
                    await timer.until(when)
                if late and (n % turn == turn - 1 or self._spent()):
                    await asyncio.sleep(0)
                while (wait := self._held_up()) is not None:
                    await wait
                self._send(self.message(n, when))
        self._ended(self.feed_id)
