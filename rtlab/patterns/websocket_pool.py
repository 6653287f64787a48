"""Several connections used as one: a policy chooses the member for each message, lost ones are skipped.

`WebSocketPool` avoids the usual faults of such classes: it never chooses a member that is not
connected, it raises an error when no member is, and it documents what happens to the order of
messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from rtlab.client.connection import Connection, State
from rtlab.client.event_emitter import Handler
from rtlab.client.locks_per_event_loop import PerLoop
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.errors import ConnectFailed, NotConnected, RtlabError
from rtlab.policies.round_robin_or_least_busy_choice import PoolChoice, PoolMember, RoundRobin
from rtlab.processes.owned_tasks import OwnedTasks
from rtlab.protocol.message_format import Message
from rtlab.protocol.urls import shown

__all__ = ["MemberStats", "WebSocketPool"]


class MemberStats(msgspec.Struct, frozen=True):
    """A snapshot of one member.

    Parameters
    ----------
    name, state : str
        Name of the member, and the state of its connection.
    busy : int
        Messages that it is sending, and requests without an answer.
    sent : int
        Messages that the pool has given to it so far.
    """

    name: str
    state: str
    busy: int
    sent: int


class _Member:
    def __init__(self, name: str, conn: Connection) -> None:
        self.name = name
        self.conn = conn
        self.busy = 0
        self.sent = 0


class WebSocketPool:
    """Several connections, each of which reconnects by itself.

    **Order.** `RoundRobin` and `LeastBusy` put consecutive messages on different connections:
    they may arrive in another order. `HashByKey` keeps each key's messages in order, as long
    as its member stays connected; a number in each message and a `ReorderBuffer` at the
    receiver keep all messages in order.

    Parameters
    ----------
    members : sequence of str or Connection
        URLs, for which `WebSocketConnection` objects are made, or connections over any transport.
    choose : PoolChoice
        `RoundRobin`, which is the default, `LeastBusy` or `HashByKey`.
    **options
        Options of each `WebSocketConnection` that the pool makes.

    Raises
    ------
    ValueError
        There is no member.

    Examples
    --------
    >>> async def talk(url: str) -> None:
    ...     async with WebSocketPool([url] * 4, choose=HashByKey()) as pool:
    ...         await pool.send("move", {"x": 1}, key="player-7")
    """

    def __init__(
        self, members: Sequence[str | Connection], *, choose: PoolChoice | None = None, **options: Any
    ) -> None:
        if isinstance(members, str) or not members:
            raise ValueError(f"expected a list of at least one URL or connection, got {shown(members)}")
        self._choose = choose or RoundRobin()
        self._members = [
            _Member(
                f"{n}",
                WebSocketConnection(member, retry_initial=True, **options)
                if isinstance(member, str)
                else member,
            )
            for n, member in enumerate(members)
        ]
        self._turn = 0
        self._connecting = PerLoop(OwnedTasks)

    def __repr__(self) -> str:
        ready = sum(member.conn.state is State.CONNECTED for member in self._members)
        return f"<WebSocketPool {ready} of {len(self._members)} connected>"

    def __len__(self) -> int:
        return len(self._members)

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The members' connections, in the order in which they were given."""
        return tuple(member.conn for member in self._members)

    @property
    def stats(self) -> tuple[MemberStats, ...]:
        """A frozen snapshot of each member."""
        return tuple(
            MemberStats(member.name, member.conn.state.value, member.busy, member.sent)
            for member in self._members
        )

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self, *, at_least: int | None = None, timeout: float = 10.0) -> None:
        """Open all members concurrently.

        Parameters
        ----------
        at_least : int, optional
            Return when so many members are connected, and let the others go on trying; None
            waits for all.
        timeout : float
            Seconds for the whole call.

        Raises
        ------
        ConnectFailed
            Too few members could connect; all are closed again.
        ValueError
            `at_least` is not between 1 and the number of members.
        """
        needed = len(self._members) if at_least is None else at_least
        if not 1 <= needed <= len(self._members):
            raise ValueError(f"expected at_least from 1 to {len(self._members)}, got {at_least!r}")
        spawn = self._connecting.here.spawn
        connecting = [spawn(member.conn.connect()) for member in self._members]
        try:
            async with asyncio.timeout(timeout):
                await self._until_connected(needed, connecting)
        except BaseException as error:
            failed = [task.exception() for task in connecting if task.done() and not task.cancelled()]
            await self._close(connecting)
            if isinstance(error, TimeoutError | ConnectFailed):
                cause = next((one for one in failed if one is not None), error)
                raise ConnectFailed(
                    f"expected {needed} of {len(self._members)} members of the pool to connect "
                    f"within {timeout:g} s: {cause}"
                ) from cause
            raise

    async def close(self) -> None:
        """Close every member for good."""
        await self._close(tuple(self._connecting.here.running))

    async def _close(self, connecting: Sequence[asyncio.Task[None]]) -> None:
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        await asyncio.gather(*(member.conn.close() for member in self._members))

    def on(self, name: str, handler: Handler) -> None:
        """Call a handler for every member's messages or events: see `Connection.on`."""
        for member in self._members:
            member.conn.on(name, handler)

    def off(self, name: str, handler: Handler | None = None) -> None:
        """Forget one handler of `name` at every member, or all of them."""
        for member in self._members:
            member.conn.off(name, handler)

    async def send(
        self, type: str, payload: Any = None, *, key: str | None = None, room_id: str | None = None
    ) -> str:
        """Send one message over one member, at most once.

        Parameters
        ----------
        type, payload, room_id
            As for `Connection.send`.
        key : str, optional
            What the message is about: `HashByKey` sends equal keys over the same member.

        Returns
        -------
        str
            Name of the member that sent it.

        Raises
        ------
        NotConnected
            No member is connected, or the chosen one was lost meanwhile: the message may not
            have arrived. It is not sent over another member too, as it might then arrive twice.
        """
        member = self._next(key)
        member.busy += 1
        try:
            await member.conn.send(type, payload, room_id=room_id)
        finally:
            member.busy -= 1
        return member.name

    async def request(
        self,
        type: str,
        payload: Any = None,
        *,
        key: str | None = None,
        room_id: str | None = None,
        timeout: float | None = None,
    ) -> Message:
        """Send one message over one member, and wait for its answer: see `Connection.request`."""
        member = self._next(key)
        member.busy += 1
        try:
            return await member.conn.request(type, payload, room_id=room_id, timeout=timeout)
        finally:
            member.busy -= 1

    async def broadcast(
        self, type: str, payload: Any = None, *, room_id: str | None = None
    ) -> dict[str, RtlabError | None]:
        """Send one message over every connected member, concurrently.

        Returns
        -------
        dict
            Name of the member → None, or the error that kept it from sending: `NotConnected`
            for members that are not connected.
        """

        async def one(member: _Member) -> RtlabError | None:
            try:
                await member.conn.send(type, payload, room_id=room_id)
            except RtlabError as error:
                return error
            member.sent += 1
            return None

        outcomes = await asyncio.gather(*map(one, self._members))
        return {member.name: outcome for member, outcome in zip(self._members, outcomes, strict=True)}

    def _next(self, key: str | None) -> _Member:
        ready = [member for member in self._members if member.conn.state is State.CONNECTED]
        if not ready:
            states = ", ".join(member.conn.state.value for member in self._members)
            raise NotConnected(f"expected a member of the pool that is Connected, got {states}")
        shown = [PoolMember(member.name, member.busy) for member in ready]
        chosen = self._choose.choose(shown, self._turn, key)
        self._turn += 1
        member = ready[shown.index(chosen)]
        member.sent += 1
        return member

    async def _until_connected(self, needed: int, connecting: Sequence[asyncio.Task[None]]) -> None:
        waiting = set(connecting)
        opened = 0
        closed = ConnectFailed("the pool was closed")  # by another caller, whose `close` cancels these tasks
        while opened < needed:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            # All are counted before one of them raises: `done` is unordered, and may hold both kinds.
            errors = [closed if task.cancelled() else task.exception() for task in done]
            opened += errors.count(None)
            if opened + len(waiting) < needed:
                raise next(error for error in errors if error is not None)
