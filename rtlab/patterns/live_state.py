"""A live state: read once from its source, then kept up to date by the messages of a room, without a gap.

`policies.snapshot_then_delta` has the decisions; this module does their I/O, over any transport.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np

from rtlab.client.connection import Connection
from rtlab.client.event_emitter import Resync
from rtlab.client.user_callback_errors import check_callback, refuse_coroutine
from rtlab.errors import ConnectionLost, StateBehind, describe
from rtlab.policies.backoff import DEFAULT, Backoff
from rtlab.policies.snapshot_then_delta import SnapshotThenDelta
from rtlab.protocol.message_format import RESERVED_TYPES, Message, fields_of

__all__ = ["LiveState", "StateAt", "snapshot_then_delta"]

_log: Final = logging.getLogger("rtlab")


class StateAt(NamedTuple):
    """A state with the offset of the newest change that it includes.

    Parameters
    ----------
    value : any
        The state.
    offset : int
        Offset of the room's newest message whose change the state includes.
    """

    value: Any
    offset: int


def snapshot_then_delta(
    get_state: Callable[[], Awaitable[Any]],
    conn: Connection,
    room_id: str,
    *,
    on_state: Callable[[Any], object],
    on_delta: Callable[[Message], object],
    read_timeout: float = 10.0,
    max_held: int = 10_000,
    backoff: Backoff = DEFAULT,
) -> LiveState:
    """Follow a state: learn the room's position, read the state, apply the messages after the position.

    Parameters
    ----------
    get_state : callable
        Coroutine function that reads the whole state, and returns it or a `StateAt`. Every
        change must be stored there before it is published.
    conn : Connection
        An open connection. It joins the room, and stays in it at the end.
    room_id : str
        The room in which the changes are published.
    on_state, on_delta : callable
        Called with each state that was read, and with each message after it, once and in order.
        Without a `StateAt`, a message may repeat a change that the state includes already: so
        the changes must be idempotent.
    read_timeout : float
        Seconds for one `get_state`.
    max_held : int
        Messages that may wait while the state is read; with more, it is read anew.
    backoff : Backoff
        Delays after a `get_state` that failed or returned an outdated state.

    Returns
    -------
    LiveState
        To be entered with ``async with``.

    Examples
    --------
    >>> async def follow(conn: Connection, read: Callable[[], Awaitable[dict[str, int]]]) -> None:
    ...     prices: dict[str, int] = {}
    ...     async with snapshot_then_delta(
    ...         read, conn, "prices", on_state=prices.update, on_delta=lambda m: prices.update(m.payload)
    ...     ):
    ...         await asyncio.sleep(3600)
    """
    core = SnapshotThenDelta[Message](max_held)
    return LiveState(get_state, conn, room_id, on_state, on_delta, read_timeout, core, backoff)


class LiveState:
    """A state that is followed: made by `snapshot_then_delta`.

    After a gap, a restart of the server or any exception in a callback, the state is not
    *live*: changes wait, the state is read again, and `on_state` is called with it.

    Attributes
    ----------
    reads : int
        How often the state was read.
    error : BaseException or None
        Why it is not live, if something failed.
    """

    def __init__(
        self,
        get_state: Callable[[], Awaitable[Any]],
        conn: Connection,
        room_id: str,
        on_state: Callable[[Any], object],
        on_delta: Callable[[Message], object],
        read_timeout: float,
        core: SnapshotThenDelta[Message],
        backoff: Backoff,
    ) -> None:
        check_callback(on_state, "on_state")
        check_callback(on_delta, "on_delta")
        self.reads = 0
        self.error: BaseException | None = None
        self._get_state = get_state
        self._conn = conn
        self._room_id = room_id
        self._on_state = on_state
        self._on_delta = on_delta
        self._read_timeout = read_timeout
        self._core = core
        self._backoff = backoff
        self._rng = np.random.default_rng()
        self._changed = asyncio.Event()
        self._put_out = False
        self._task: asyncio.Task[None] | None = None

    @property
    def live(self) -> bool:
        """Whether the state is shown, and every change since was applied."""
        return self._core.live

    async def __aenter__(self) -> Self:
        """Enter the room, and return when the state is live.

        Raises
        ------
        StateBehind
            The state was older than the room's position, five times.
        TimeoutError, RequestRefused, NotConnected
            The join failed, or `get_state` timed out; its own errors are raised unchanged.
        """
        self._conn.on("*", self._take)
        self._conn.on("resync", self._resync)
        try:
            answer = fields_of((await self._conn.join_room(self._room_id)).payload)
            if self._core.position is None:  # else a `resync` came first, with a newer position
                self._core.begin(str(answer.get("epoch")), int(answer.get("offset", 0)))
            await self._catch_up(attempts=5)
        except BaseException:
            self._unhook()
            raise
        self._task = asyncio.get_running_loop().create_task(self._keep(), name="snapshot then delta")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unhook()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_live(self, timeout: float) -> None:
        """Return when the state is live (again).

        Raises
        ------
        TimeoutError
            The state is not live within `timeout` seconds; `error` may say why.
        ConnectionLost
            The server does not let this client into the room any more.
        """
        async with asyncio.timeout(timeout):
            while not self.live:
                if self._put_out and self.error is not None:
                    raise self.error
                self._changed.clear()
                await self._changed.wait()

    def _unhook(self) -> None:
        self._conn.off("*", self._take)
        self._conn.off("resync", self._resync)

    def _take(self, message: Message) -> None:
        epoch, offset = message.epoch, message.offset
        if message.room_id != self._room_id or epoch is None or offset is None:
            return
        reading = self._core.reading
        try:
            if message.type in RESERVED_TYPES:  # stands for a message that could not be encoded for us
                self._core.begin(epoch, offset)
            for delta in self._core.take(epoch, offset, message):
                refuse_coroutine(self._on_delta(delta), "on_delta")
        except BaseException:
            self._core.begin(epoch, offset)  # the state that is shown is wrong now
            raise
        finally:
            if self._core.reading != reading:
                self._changed.set()

    def _resync(self, event: Resync) -> None:
        if event.room_id != self._room_id:
            return
        if event.epoch is None or event.offset is None:
            self.error, self._put_out = ConnectionLost(event.reason), True
            self._core.live = False
        else:
            self._core.begin(event.epoch, event.offset)
        self._changed.set()

    async def _keep(self) -> None:
        while not self._put_out:
            if not self._core.live:
                await self._catch_up()
            await self._changed.wait()
            self._changed.clear()

    async def _catch_up(self, attempts: int | None = None) -> None:
        """Read the state until one can be shown. With `attempts`, raise errors; without, never give up."""
        behind, delay = 0, 0.0
        while not (self._core.live or self._put_out):
            reading = self._core.reading
            try:
                await self._read(reading)
            except BaseException as error:
                if _stops(error) or (attempts is not None and not isinstance(error, StateBehind)):
                    raise
                behind += 1
                if attempts is not None and behind >= attempts:
                    raise
                if self._put_out:
                    break  # `error` says so, and stays
                self.error = error
                _log.warning("room %r: its state cannot be shown: %s", self._room_id, describe(error))
                delay = float(self._backoff.delay(behind - 1, delay, self._rng))
                await asyncio.sleep(delay)
        self._changed.set()

    async def _read(self, reading: int) -> None:
        self.reads += 1
        async with asyncio.timeout(self._read_timeout):
            state = await self._get_state()
        if self._put_out:
            return
        value, offset = state if isinstance(state, StateAt) else (state, None)
        deltas = self._core.show(reading, offset)
        if deltas is None:
            if self._core.reading == reading:
                raise StateBehind(
                    f"the state goes up to offset {offset}, the room further: read it from a newer copy"
                )
            return
        try:
            refuse_coroutine(self._on_state(value), "on_state")
            for delta in deltas:
                refuse_coroutine(self._on_delta(delta), "on_delta")
        except BaseException:
            assert self._core.position is not None
            self._core.begin(*self._core.position)
            raise
        self.error = None


def _stops(error: BaseException) -> bool:
    """Whether an exception is meant for the task that follows, and not one of the user's functions' own."""
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        return True  # GeneratorExit: the event loop has ended, so there is no current task
    task = asyncio.current_task()
    # Whatever the error is: a user's function may turn its cancellation into another one.
    return task is not None and task.cancelling() > 0
