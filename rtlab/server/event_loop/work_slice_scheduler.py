"""Schedules the server's work over turns of the event loop: work in slices, writes at a turn's end.

So no client waits long for another client's messages. Messages that are published in one turn are
delivered at its end, and all bytes for a connection then leave in one write; only the answer to a message
that came alone, such as an echo, may leave before. A turn that has worked for
`SLICE_SECONDS` leaves the rest to later turns, in the order in which it was requested. Between two slices
the loop reads sockets, fires timers and accepts connections.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from rtlab.server.maybe_awaitable_values import Later, forward

__all__ = ["SLICE_SECONDS", "Turns", "Writer"]

T = TypeVar("T")

#: Seconds that a turn may work before it gives the loop back.
SLICE_SECONDS: Final = 0.004

#: Connections that are written to between two readings of the clock: about 0.1 ms of work.
_WRITES_PER_LOOK: Final = 16

#: Share of a slice for the steps of `Turns.share`; the rest is for the writes that these cause.
_SHARED_OUT: Final = 0.5

#: Seconds of work that `Turns.settle` may let add up before it leaves the end of the turn to the loop.
_SMALL_SECONDS: Final = 0.001


class Writer(Protocol):
    """An object that holds data to be written at the end of the turn."""

    def flush(self) -> None:
        """Write all held data. Never raises, never blocks."""
        ...


class Turns:
    """Divides the work of one server among turns of the event loop.

    Parameters
    ----------
    clock : callable
        Seconds, monotonic.
    slice_seconds : float
        Seconds that a turn may work.
    working : callable, optional
        Called with the clock's time when a turn begins to work.

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
        self,
        clock: Callable[[], float] = time.monotonic,
        slice_seconds: float = SLICE_SECONDS,
        working: Callable[[float], object] = lambda now: None,
    ) -> None:
        self._clock = clock
        self._slice = slice_seconds
        self._working = working
        # When the work of this turn began; None in a turn without work.
        self._began: float | None = None
        # Seconds worked in turns that `settle` ended, since the last turn that the loop ended.
        self._worked = 0.0
        self._scheduled = False
        self._inside: Writer | None = None  # the writer of the client whose messages are being handled
        self._inside_wrote = False
        self._alone = False  # whether only one of its messages is being handled
        self._at_once = False  # whether its next answer leaves at once
        self._writers: list[Writer] = []
        self._behind = False  # whether writers of an earlier slice are left
        self._share_end = 0.0  # when steps of `share` must end
        self._shares: deque[Callable[[], bool]] = deque()
        self._actions: deque[Callable[[], object]] = deque()

    def spent(self) -> bool:
        """Whether this turn has used up its slice: then pass what can wait to `later`.

        The first call in a turn begins its slice.
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
        """Flush a writer once at the end of this turn, or of a later turn if there are many writers."""
        if writer is self._inside:
            if self._at_once and not self._writers:
                self._at_once = False
                writer.flush()
            else:
                self._inside_wrote = True  # `settle` flushes it
            return
        self._writers.append(writer)
        if self._began is None:
            self._begin()

    def share(self, step: Callable[[], bool]) -> None:
        """Do work in small steps at the end of this turn and of later turns.

        Parameters
        ----------
        step : callable
            Does a small part of the work, and returns whether there is more to do.
        """
        self._shares.append(step)
        if self._began is None:
            self._begin()

    def share_spent(self) -> bool:
        """Whether a step of `share` has to return: the time for steps in this turn has passed."""
        return self._clock() > self._share_end

    def enter(self, writer: Writer, *, alone: bool = False) -> None:
        """Begin to handle a client's messages; `settle` must be called before anything is awaited.

        Parameters
        ----------
        writer : Writer
            The client's connection.
        alone : bool
            Whether it is a single message, so that `only_answer` may let its answer leave at once.
        """
        self._inside = writer
        self._inside_wrote = self._at_once = False
        self._alone = alone

    def only_answer(self) -> None:
        """Let the next answer leave before the rest of the work on its message, if the message came alone.

        For a handler that sends nothing else: two answers would leave in two writes.
        """
        self._at_once, self._alone = self._alone, False

    def settle(self, writer: Writer) -> None:
        """End what `enter` began; flush the client's writer at once if it is the only one.

        It is also flushed at once if only writers of an earlier slice stand before it: waiting would not
        serve anybody. Leaving the end of the turn to the loop costs each answer some 10 µs.
        """
        self._inside = None
        writers = self._writers
        if writers == [writer]:  # it wrote before its messages were handled, such as a pong
            writers.clear()
        if self._behind or not writers:
            writer.flush()
        elif self._inside_wrote:
            writers.append(writer)
        if self._scheduled or self._began is None:
            return
        self._worked = self._clock() - self._began
        if self._writers or self._shares or self._actions or self._worked > _SMALL_SECONDS:
            self._schedule()
        else:
            self._began = None

    def later(self, action: Callable[[], Later[T]]) -> asyncio.Future[T]:
        """Do an action in a later turn, after the actions that wait already.

        Parameters
        ----------
        action : callable
            Returns its result, or a future of the result.

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
        now = self._clock()
        self._began = now - self._worked
        self._working(now)
        if self._inside is None:
            self._schedule()

    def _schedule(self) -> None:
        try:
            asyncio.get_running_loop().call_soon(self._end)
        except RuntimeError:
            self._began = None  # no loop is running, so there are no turns: do the work now
            while self._shares:
                if not self._shares[0]():
                    self._shares.popleft()
        else:
            self._scheduled = True

    def _end(self) -> None:
        """Work for one slice: steps of `share`, then writers, then actions of `later`."""
        began = self._began = self._clock()
        self._worked = 0.0
        if not self._behind:
            self._share_end = began + self._slice * _SHARED_OUT
            self._share_out()
        self._write()
        self._act(began)
        if self._writers or self._shares or self._actions:
            self._schedule()
        else:
            self._began = None
            self._scheduled = False

    def _share_out(self) -> None:
        while self._shares:
            step = self._shares.popleft()
            if step():
                self._shares.append(step)
            if self.share_spent():
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
        """Do actions of `later`: a few in each slice, however many writers are left."""
        if not self._actions:
            return
        writers = len(self._writers)
        until = max(began + self._slice, self._clock() + _SMALL_SECONDS)
        while self._actions:
            self._actions.popleft()()
            if self._clock() > until:
                break
        if self._behind:
            answers, self._writers[writers:] = self._writers[writers:], []
            for writer in answers:
                writer.flush()
