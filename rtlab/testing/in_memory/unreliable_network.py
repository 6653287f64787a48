"""A bad network for messages, repeatable by its seed: delay, refusal, loss, duplication and reordering."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush

from rtlab.testing.mock.mock_frames import Item, Request, Response
from rtlab.testing.mock.mock_script_steps import ScriptError

__all__ = ["MessageFaults"]


class MessageFaults:
    """A network between mocks and their peer: pass it as a peer's ``link``.

    Parameters
    ----------
    seed : int
        The same seed gives the same faults for the same messages.
    delay : float or (float, float)
        One-way delay in seconds, for both directions; each delay is drawn uniformly from a pair. Delays
        keep the order of messages.
    lose, repeat, reorder : float
        Probability, for each message, that it is lost, delivered twice, or overtaken.
    late : float
        How many seconds later a reordered message arrives, so that messages behind it overtake it.
    refuse : float
        Probability that a connection is refused, as if nothing listened.

    Attributes
    ----------
    counts : Counter
        How often each fault happened: ``"lost"``, ``"repeated"``, ``"reordered"``, ``"refused"``.

    Notes
    -----
    TCP itself neither loses nor duplicates data; relays, brokers and clients that retry do. The toxics of
    `MemoryProxy` act on bytes, as a network does.

    Raises
    ------
    ScriptError
        If a probability is not from 0 to 1, or a duration is negative.

    Examples
    --------
    >>> MessageFaults(lose=2)
    Traceback (most recent call last):
    ...
    rtlab.testing.mock.mock_script_steps.ScriptError: lose: expected a probability from 0 to 1, got 2
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        delay: float | tuple[float, float] = 0.0,
        lose: float = 0.0,
        repeat: float = 0.0,
        reorder: float = 0.0,
        late: float = 0.05,
        refuse: float = 0.0,
    ) -> None:
        chances = {"lose": lose, "repeat": repeat, "reorder": reorder, "refuse": refuse}
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise ScriptError(f"{name}: expected a probability from 0 to 1, got {chance}")
        least, most = delay if isinstance(delay, tuple) else (delay, delay)
        if not (0 <= least <= most and late >= 0):
            raise ScriptError(f"expected delays of 0 s or more, the smaller first, got {delay} and {late}")
        self.seed = seed
        self.delay = least, most
        self.lose, self.repeat, self.reorder, self.refuse = lose, repeat, reorder, refuse
        self.late = late
        self.counts: Counter[str] = Counter()

    def __call__(self, number: int, up: Callable[[Item], None], down: Callable[[Item], None]) -> _Link:
        """Make the link of one connection."""
        return _Link(self, number, up, down)


class _Way:
    """One direction of one connection."""

    def __init__(self, faults: MessageFaults, name: str, deliver: Callable[[Item], None]) -> None:
        self._faults = faults
        self._rng = random.Random(f"{faults.seed}/{name}")
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._after = self._last = -math.inf
        # What is under way, by its time of arrival. Timers of the same time have no order of their own, so
        # items of the same time are numbered.
        self._under_way: list[tuple[float, int, Item]] = []
        self._numbers = itertools.count()
        self._timers: set[asyncio.TimerHandle] = set()

    def carry(self, item: Item) -> None:
        faults, rng = self._faults, self._rng
        delay = rng.uniform(*faults.delay)
        message = isinstance(item, (str, bytes))
        # All three are always drawn, so that changing one setting does not shift the draws for another.
        lost, repeated, reordered = rng.random(), rng.random(), rng.random()
        if message and lost < faults.lose:
            faults.counts["lost"] += 1
            return
        at = max(self._loop.time() + delay, self._after)
        if message and reordered < faults.reorder:
            faults.counts["reordered"] += 1
            at += faults.late
        elif message:
            self._after = at
        else:  # a control item, such as a close, never overtakes a message
            at = self._after = max(at, self._last)
        self._last = max(self._last, at)
        self._at(at, item)
        if message and repeated < faults.repeat:
            faults.counts["repeated"] += 1
            self._at(at, item)

    def _at(self, at: float, item: Item) -> None:
        if at <= self._loop.time() and not self._under_way:
            self._deliver(item)
            return
        heappush(self._under_way, (at, next(self._numbers), item))

        def arrive() -> None:
            self._timers.discard(timer)
            self._deliver(heappop(self._under_way)[2])  # one item is due for each timer

        timer = self._loop.call_at(at, arrive)
        self._timers.add(timer)

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._under_way.clear()


class _Link:
    def __init__(
        self, faults: MessageFaults, number: int, up: Callable[[Item], None], down: Callable[[Item], None]
    ) -> None:
        self._faults = faults
        self._refused = random.Random(f"{faults.seed}/{number}/open").random() < faults.refuse
        self._up = _Way(faults, f"{number}/up", up)
        self._down = _Way(faults, f"{number}/down", down)

    def up(self, item: Item) -> None:
        if self._refused and isinstance(item, Request):
            self._faults.counts["refused"] += 1
            self._down.carry(Response(0))
            return
        self._up.carry(item)

    def down(self, item: Item) -> None:
        self._down.carry(item)

    def cut(self) -> None:
        self._up.stop()
        self._down.stop()
