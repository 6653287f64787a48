"""Rooms on one connection: their users, and callbacks for what happens in each.

`RoomManager` avoids the usual faults of such classes: callbacks come from a fixed list, never
by a name that was received over the wire; a join counts only when the server has answered; and
the application is told when the server no longer admits this client to a room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self, cast

from rtlab.client.connection import Connection
from rtlab.client.delivery.receipt import Receipt
from rtlab.client.delivery.retransmission import DeliveryMode
from rtlab.client.event_emitter import Connected, Resync
from rtlab.client.user_callback_errors import call, check_callback
from rtlab.errors import InvalidState
from rtlab.patterns.lost_subscription_probe import LostSubscriptionProbe
from rtlab.protocol.message_format import RESERVED_TYPES, Message

__all__ = ["CALLBACKS", "RoomManager"]

#: Name of a callback → the argument that it is called with.
CALLBACKS: Final[Mapping[str, str]] = {
    "on_message": "a Message that somebody published in the room",
    "on_users_update": "the tuple of all users who are there now",
    "on_join": "the name of a user who came",
    "on_leave": "the name of a user who left, or whose last connection ended a while ago",
    "on_resync": "a Resync: messages of this room may be missing, read its state anew",
}

Callback = Callable[[Any], object]


class _Room:
    def __init__(self, callbacks: dict[str, Callback]) -> None:
        self.callbacks = callbacks
        self.users: tuple[str, ...] = ()
        self.joined = False


class RoomManager:
    """The rooms of one connection, each with callbacks of its own.

    After a reconnect, the connection itself rejoins its rooms, each from the last offset that
    it saw: the application need not call anything again.

    Parameters
    ----------
    conn : Connection
        A connection over any transport. It stays open when the manager is closed.
    probe_interval : float or None
        Seconds between probes of rooms without messages, see `LostSubscriptionProbe`; None sends no
        probes.

    Attributes
    ----------
    conn : Connection
        The connection.
    closed : bool
        Whether `close` was called.

    Examples
    --------
    >>> async def talk(conn: Connection) -> None:
    ...     async with RoomManager(conn) as rooms:
    ...         await rooms.join_room("lobby", {"on_message": lambda message: print(message.payload)})
    ...         await rooms.send("lobby", "chat", {"text": "hi"})
    ...         print(rooms.active_users("lobby"))
    """

    def __init__(self, conn: Connection, *, probe_interval: float | None = None) -> None:
        self.conn = conn
        self.closed = False
        self._rooms: dict[str, _Room] = {}
        self._probe = (
            None if probe_interval is None else LostSubscriptionProbe(conn, self.__iter__, probe_interval)
        )
        conn.on("*", self._take)
        conn.on("resync", self._resync)
        conn.on("connected", self._connected)

    def __repr__(self) -> str:
        return f"<RoomManager {', '.join(self._rooms) or 'in no room'}>"

    def __contains__(self, room_id: object) -> bool:
        return room_id in self._rooms

    def is_in(self, room_id: str) -> bool:
        """Whether the server has admitted this client to a room; False while the join is pending."""
        room = self._rooms.get(room_id)
        return room is not None and room.joined

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._rooms))

    def __len__(self) -> int:
        return len(self._rooms)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop calling callbacks. The connection stays in its rooms."""
        self.closed = True
        self.conn.off("*", self._take)
        self.conn.off("resync", self._resync)
        self.conn.off("connected", self._connected)
        self._rooms.clear()
        if self._probe is not None:
            self._probe.stop()

    async def join_room(self, room_id: str, callbacks: Mapping[str, Callback] | None = None) -> bool:
        """Join a room.

        Parameters
        ----------
        room_id : str
            The room's name.
        callbacks : mapping, optional
            Callbacks by their names in `CALLBACKS`; synchronous, as all handlers. Any exception
            becomes an ``error`` event of the connection, and so does a returned coroutine; the
            other callbacks are still called.

        Returns
        -------
        bool
            False when this manager is in the room already, or joining it: nothing changes then.

        Raises
        ------
        ValueError
            A callback's name is not in `CALLBACKS`.
        TypeError
            A callback is not callable, or is a coroutine function.
        RequestRefused
            The server does not admit this client.
        TimeoutError, NotConnected
            No answer came.
        """
        chosen = dict(callbacks or {})
        for name, callback in chosen.items():
            if name not in CALLBACKS:
                raise ValueError(f"expected callbacks among {', '.join(CALLBACKS)}, got {name!r}")
            check_callback(callback, name)
        if room_id in self._rooms:
            return False
        # Registered before the answer, since the room's history follows right behind it.
        room = self._rooms[room_id] = _Room(chosen)
        try:
            await self.conn.join_room(room_id)
        except BaseException:
            if self._rooms.get(room_id) is room:
                del self._rooms[room_id]
            raise
        room.joined = True
        if self._probe is not None:
            self._probe.start()
        return True

    async def leave_room(self, room_id: str) -> bool:
        """Leave a room; False when this manager is not in it.

        Raises
        ------
        TimeoutError, NotConnected
            No answer came. The room is left all the same: its callbacks are removed, and the server is
            told when a connection is open again.
        """
        if self._rooms.pop(room_id, None) is None:
            return False
        await self.conn.leave_room(room_id)
        return True

    async def send(
        self,
        room_id: str,
        type: str,
        payload: Any = None,
        *,
        ts: float | None = None,
        delivery: DeliveryMode = "at_most_once",
    ) -> Receipt:
        """Publish a message in a room.

        Parameters
        ----------
        room_id : str
            A room that this manager has joined.
        type, payload, ts, delivery
            As for `Connection.send`.

        Raises
        ------
        InvalidState
            This manager is not in the room: the server would refuse the message later, unnoticed.
        MessageError, NotConnected
            As for `Connection.send`.
        """
        self._entered(room_id)
        return await self.conn.send(type, payload, room_id=room_id, ts=ts, delivery=delivery)

    def active_users(self, room_id: str) -> tuple[str, ...]:
        """Return the users in a room, in order of arrival, as the server reported last.

        Raises
        ------
        InvalidState
            This manager is not in the room.
        """
        return self._entered(room_id).users

    def _entered(self, room_id: str) -> _Room:
        room = self._rooms.get(room_id)
        if room is None or not room.joined:
            state = "none of that name" if room is None else "one that is being entered"
            raise InvalidState(f"a room that was entered ({room_id!r})", state, "await join_room() first")
        return room

    def _take(self, message: Message) -> object:
        room = self._rooms.get(message.room_id) if message.room_id is not None else None
        if room is None:
            return None
        if message.type == "users_update":
            self._count(room, message)
        elif (
            message.type not in RESERVED_TYPES and (callback := room.callbacks.get("on_message")) is not None
        ):
            return callback(message)  # the connection reports what it raises or returns
        return None

    def _count(self, room: _Room, message: Message) -> None:
        payload: object = message.payload
        names = cast("list[object]", payload) if isinstance(payload, list) else []
        users = tuple(name for name in names if isinstance(name, str))
        before, room.users = room.users, users
        came = [("on_join", user) for user in users if user not in before]
        left = [("on_leave", user) for user in before if user not in users]
        self._call(room, ("on_users_update", users), *left, *came)

    def _resync(self, event: Resync) -> None:
        room = self._rooms.get(event.room_id) if event.room_id is not None else None
        if room is None:
            return
        if event.epoch is None:  # the server does not admit this client again
            del self._rooms[cast("str", event.room_id)]
        self._call(room, ("on_resync", event))

    def _connected(self, event: Connected) -> None:
        if self._probe is not None and self._rooms:
            self._probe.start()  # the former event loop may have ended, and the probe with it

    def _call(self, room: _Room, *calls: tuple[str, Any]) -> None:
        """Call the callbacks that exist; raise their errors after all have been called."""
        errors: list[BaseException] = []
        for name, value in calls:
            callback = room.callbacks.get(name)
            if callback is None or self.closed:  # an earlier callback may have closed the manager
                continue
            _, error = call(callback, value)
            if error is not None:
                errors.append(error)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("several callbacks of a room raised", errors)
