"""What one turn of the event loop may do: writes leave at its end, long work is cut into slices.

Nobody waits for somebody else's message. What is published in one turn is delivered at its end, what
is written to a connection then leaves in one write, and a turn that has worked for `SLICE_SECONDS` hands
the rest to later turns, in the order in which it was asked for. Between two slices the loop reads
sockets, fires timers and lets others in.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from rtlab.server.ordered_answers import Later, forward

__all__ = ["SLICE_SECONDS", "Turns", "Writer"]

T = TypeVar("T")

#: How long a turn works on deliveries before others get the loop.
SLICE_SECONDS: Final = 0.004

#: Connections that are written to between two looks at the clock: about 0.1 ms.
_WRITES_PER_LOOK: Final = 16

#: Of a slice, for what is shared out: the rest is for writing what that brought.
_SHARED_OUT: Final = 0.5

#: Messages that were handled at once may add up to this before the loop ends their turn.
_SMALL_SECONDS: Final = 0.001


class Writer(Protocol):
    """What has something to write at the end of the turn."""

    def flush(self) -> None:
        """Write all that is held. Never raises, never blocks."""
        ...


class Turns:
    """The work of one server, turn by turn.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    slice_seconds : float
        How long a turn may work.

    Examples
    --------
    >>> turns = Turns()
    >>> async def work(jobs: list[Job]) -> None:
    ...     for job in jobs:
    ...         if turns.spent():
    ...             await turns.later(lambda: None)
    ...         job.do()
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, slice_seconds: float = SLICE_SECONDS
    ) -> None:
        self._clock = clock
        self._slice = slice_seconds
        # When the work of this turn began; None in a turn without any.
        self._began: float | None = None
        # Work of small turns, which ended by `settle`, since the last that was ended by the loop.
        self._worked = 0.0
        self._scheduled = self._inside = False
        self._writers: list[Writer] = []
        self._behind = False  # some of them are left of an earlier slice
        self._shares: deque[Callable[[], bool]] = deque()
        self._actions: deque[Callable[[], object]] = deque()

    def spent(self) -> bool:
        """Whether this turn has done its share: what can wait goes to `later`.

        The first who asks in a turn begins it.
        """
        if self._began is None:
            self._begin()
            return False
        return self._clock() - self._began > self._slice

    @property
    def waiting(self) -> int:
        """Actions that wait for a later turn."""
        return len(self._actions)

    def write_at_end(self, writer: Writer) -> None:
        """Let a writer flush once at the end of this turn, or of a later one if there are many."""
        self._writers.append(writer)
        if self._began is None:
            self._begin()

    def share(self, step: Callable[[], bool]) -> None:
        """Do work in small steps at the end of this turn, and of later ones.

        Parameters
        ----------
        step : callable
            Does a little, which others may have to wait for, and returns whether there is more.
        """
        self._shares.append(step)
        if self._began is None:
            self._begin()

    def enter(self) -> None:
        """Begin to handle a client's messages; `settle` follows before anything is awaited."""
        self._inside = True

    def settle(self, writer: Writer) -> None:
        """End what `enter` began: flush the client's writer at once if it is the only one.

        So, too, if it stands behind writers that an earlier slice left. Nobody gains by its waiting, and a
        turn that the loop has to end costs every answer some 10 µs.
        """
        self._inside = False
        writers = self._writers
        if writers and writers[-1] is writer and (self._behind or len(writers) == 1):
            writers.pop()
            writer.flush()
        if self._scheduled or self._began is None:
            return
        self._worked = self._clock() - self._began
        if self._writers or self._shares or self._actions or self._worked > _SMALL_SECONDS:
            self._schedule()
        else:
            self._began = None

    def later(self, action: Callable[[], Later[T]]) -> asyncio.Future[T]:
        """Do an action in a later turn, behind those that wait already.

        Parameters
        ----------
        action : callable
            Returns its answer, or the future of it.

        Returns
        -------
        Future of T
        """
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._actions.append(lambda: forward(action, result))
        if self._began is None:
            self._begin()
        return result

    def _begin(self) -> None:
        self._began = self._clock() - self._worked
        if not self._inside:
            self._schedule()

    def _schedule(self) -> None:
        try:
            asyncio.get_running_loop().call_soon(self._end)
        except RuntimeError:
            self._began = None  # without a loop there are no turns, and nobody waits for one
            while self._shares:
                if not self._shares[0]():
                    self._shares.popleft()
        else:
            self._scheduled = True

    def _end(self) -> None:
        """Do one slice: what is shared out, then what is to be written, then what waits."""
        began = self._began = self._clock()
        self._worked = 0.0
        if not self._behind:
            self._share_out(began + self._slice * _SHARED_OUT)
        self._write()
        self._act(began)
        if self._writers or self._shares or self._actions:
            self._schedule()
        else:
            self._began = None
            self._scheduled = False

    def _share_out(self, until: float) -> None:
        while self._shares:
            step = self._shares.popleft()
            if step():
                self._shares.append(step)
            if self._clock() > until:
                break

    def _write(self) -> None:
        writers, self._writers = self._writers, []
        for n, writer in enumerate(writers, 1):
            writer.flush()
            if n % _WRITES_PER_LOOK == 0 and self.spent():
                self._writers[:0] = writers[n:]
                break
        self._behind = bool(self._writers)

    def _act(self, began: float) -> None:
        """Do what waits: in each slice a little, however much is left to write."""
        if not self._actions:
            return
        crowd = len(self._writers)
        until = max(began + self._slice, self._clock() + _SMALL_SECONDS)
        while self._actions:
            self._actions.popleft()()
            if self._clock() > until:
                break
        if self._behind:
            answers, self._writers[crowd:] = self._writers[crowd:], []
            for writer in answers:
                writer.flush()
