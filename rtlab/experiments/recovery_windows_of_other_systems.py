"""Recovery windows of other systems, as settings of the lab's server, tested at and beyond their limits.

A recovery window says how much a reconnecting client may have missed and still recover completely. Every
system bounds it, by time, messages or bytes: within it nothing is lost, and beyond it the client must load
its state anew. The numbers are those that each system's makers have published; see the sources.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

import msgspec

from rtlab.client.connection import Connection
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.client.transports.websocket_transport import WebSocketTransport
from rtlab.errors import LabError
from rtlab.lab.lab import Lab
from rtlab.lab.lab_options_as_server_arguments import ServerOptions
from rtlab.policies.backoff import Constant
from rtlab.protocol.message_format import Message

__all__ = ["WINDOWS", "RecoveryWindow", "WindowTrial", "try_window"]

_TIMEOUT: Final = 30.0
#: Share of a window in seconds for which the client that is back in time is away. The rest is left for a
#: machine that stalls.
_AWAY: Final = 0.5
#: Seconds that stand for "never": clients reconnect only on demand, and presence sends nothing meanwhile.
_NEVER: Final = 3600.0
_ROOM: Final = "window"

WindowUnit = Literal["s", "messages", "bytes", "batches"]


class RecoveryWindow(msgspec.Struct, frozen=True, kw_only=True):
    """The recovery window that one system documents.

    Parameters
    ----------
    system : str
        Name of the system.
    amount, unit : int and str
        How much a client may miss, and in which unit.
    promise : str
        What the amount bounds, paraphrased.
    beyond : str
        What the system does beyond the window.
    source : str
        URL of the system's documentation or source code.
    """

    system: str
    amount: int
    unit: WindowUnit
    promise: str
    beyond: str
    source: str

    def settings(self, scale: float = 1.0) -> ServerOptions:
        """Return the options of `Lab` that give its server the same recovery window.

        Parameters
        ----------
        scale : float
            Factor for a window in seconds: 0.01 turns two minutes into 1.2 s.

        Examples
        --------
        >>> WINDOWS["Socket.IO"].settings()
        {'leave_grace': 3600.0, 'session_ttl': 120.0, 'history_age': 0.0}
        """
        options: ServerOptions = {"leave_grace": _NEVER}
        match self.unit:
            case "s":  # only the session keeps messages
                options |= {"session_ttl": self.amount * scale, "history_age": 0.0}
            case "messages":  # only the room's history keeps messages
                options |= {"session_ttl": 0.0, "history_messages": self.amount}
            case "bytes":
                options |= {"backlog_bytes": self.amount, "history_age": 0.0}
            case "batches":
                options |= {"results_kept": self.amount}
        return options


WINDOWS: Final = {
    window.system: window
    for window in (
        RecoveryWindow(
            system="Socket.IO",
            amount=120,
            unit="s",
            promise="connection state recovery keeps a session and its packets so long; off unless asked for",
            beyond="`socket.recovered` is false: the client synchronises by itself",
            source="https://socket.io/docs/v4/connection-state-recovery",
        ),
        RecoveryWindow(
            system="Ably",
            amount=120,
            unit="s",
            promise="the state of a connection outlives it by about so long",
            beyond="the connection is *suspended*, and channels go on without continuity",
            source="https://ably.com/docs/connect/states",
        ),
        RecoveryWindow(
            system="PubNub",
            amount=100,
            unit="messages",
            promise="the queue in memory from which a subscriber catches up holds so many",
            beyond="the oldest leave the queue; only stored history has them",
            source="https://support.pubnub.com/support/solutions/articles/14000043538-can-i-use-catchup-to-retrieve-older-messages-",
        ),
        RecoveryWindow(
            system="SignalR",
            amount=100_000,
            unit="bytes",
            promise="stateful reconnect buffers so many per connection",
            beyond="a sender waits as long as the buffer is full",
            source="https://learn.microsoft.com/dotnet/api/microsoft.aspnetcore.signalr.huboptions.statefulreconnectbuffersize",
        ),
        RecoveryWindow(
            system="Centrifugo",
            amount=300,
            unit="messages",
            promise="`client.recovery_max_publication_limit`: one recovery brings at most so many",
            beyond="`recovered` is false: the application loads its state",
            source="https://centrifugal.dev/docs/server/history_and_recovery",
        ),
        RecoveryWindow(
            system="Kafka",
            amount=5,
            unit="batches",
            promise="a broker knows the newest so many batches of an idempotent producer, per partition",
            beyond="a repeat of an older one cannot be matched with what was written",
            source="https://github.com/apache/kafka/blob/trunk/storage/src/main/java/org/apache/kafka/storage/internals/log/ProducerStateEntry.java",
        ),
    )
}


class WindowTrial(msgspec.Struct, frozen=True):
    """Whether a client recovered at the edge of one system's window, and beyond it.

    Parameters
    ----------
    system : str
        Name of the system.
    inside, beyond : bool
        Whether everything was recovered at the edge of the window, and one message beyond it. For a window
        in seconds: by a client that is back after half of it, and by one that is back after its end.
    missed_inside, missed_beyond : int
        Number of messages missed, or of batches repeated, in each case.
    """

    system: str
    inside: bool
    beyond: bool
    missed_inside: int
    missed_beyond: int


async def try_window(window: RecoveryWindow, scale: float = 0.01) -> WindowTrial:
    """Start a lab with the same window; let a client miss as much as it allows, then one message more.

    A window in seconds is tried by a client that is back after half of it, then by one that is too late.

    Parameters
    ----------
    window : RecoveryWindow
        One of `WINDOWS`.
    scale : float
        Factor for a window in seconds, as in `RecoveryWindow.settings`.

    Returns
    -------
    WindowTrial

    Raises
    ------
    LabError
        When the trial did not end in time.
    """
    try:
        async with asyncio.timeout(_TIMEOUT), Lab(**window.settings(scale)) as lab:
            if window.unit == "batches":
                return await _repeats(lab, window)
            inside, beyond = _amounts(window)
            kept = await _away(lab, inside, window, scale, late=False)
            lost = await _away(lab, beyond, window, scale, late=True)
    except TimeoutError as error:
        raise LabError(f"the trial of {window.system}'s window did not end within {_TIMEOUT:g} s") from error
    return WindowTrial(window.system, kept, lost, inside, beyond)


#: Bytes of padding in each message for a window in bytes; the rest of a message is about 100 bytes.
_PAD: Final = 9_800


def _amounts(window: RecoveryWindow) -> tuple[int, int]:
    """Return how many messages the client misses inside the window, and how many beyond it."""
    match window.unit:
        case "bytes":
            inside = window.amount // (_PAD + 100)
            return inside, inside + 1
        case "messages":
            return window.amount, window.amount + 1
        case _:
            return 1, 1  # what matters is when the client reconnects


async def _away(lab: Lab, count: int, window: RecoveryWindow, scale: float, *, late: bool) -> bool:
    """Return whether a client that misses `count` messages gets all of them, without a `resync`."""
    transports: list[WebSocketTransport] = []

    def make() -> WebSocketTransport:
        transports.append(WebSocketTransport(lab.ws_url))
        return transports[-1]

    room = f"{_ROOM} {late}"
    got: list[Any] = []
    resyncs: list[Any] = []
    arrived, gone = asyncio.Event(), asyncio.Event()

    def take(message: Message) -> None:
        number = message.payload["n"]
        got.append(number)
        if number == count:
            arrived.set()

    conn = Connection(make, backoff=Constant(_NEVER), heartbeat=None)
    conn.on("news", take)
    conn.on("resync", lambda event: resyncs.append(event.room_id))
    conn.on("reconnecting", lambda event: gone.set())
    async with conn, WebSocketConnection(lab.ws_url) as publisher:
        await conn.join_room(room)
        await publisher.join_room(room)
        transports[-1].abort()
        await gone.wait()
        pad = "x" * _PAD if window.unit == "bytes" else ""
        items = [{"type": "news", "payload": {"n": n, "pad": pad}, "roomId": room} for n in range(count)]
        await publisher.request("batch", items)
        if window.unit == "messages" or (window.unit == "s" and late):
            await _sessions(lab, 1)  # until the client's session has expired
        elif window.unit == "s":
            await asyncio.sleep(_AWAY * window.amount * scale)
        conn.reconnect_now()
        await conn.connect()
        await publisher.request("news", {"n": count}, room_id=room)
        await arrived.wait()
    return room not in resyncs and got == list(range(count + 1))


async def _sessions(lab: Lab, count: int) -> None:
    """Return when the server has at most `count` sessions."""
    while (await lab.stats())["sessions"] > count:
        await asyncio.sleep(0.05)


async def _repeats(lab: Lab, window: RecoveryWindow) -> WindowTrial:
    """Send one batch more than the server remembers; repeat the oldest that it knows, and the one before."""
    async with WebSocketConnection(lab.ws_url) as conn:
        await conn.join_room(_ROOM)
        await conn.request("outbox", {"stream": "s", "history": "h", "token": "t"})
        first = [await _numbered(conn, number) for number in range(1, window.amount + 2)]
        repeats = {number: await _numbered(conn, number) for number in (2, 1)}
    known = {number: repeats[number] == first[number - 1] for number in repeats}
    return WindowTrial(window.system, known[2], known[1], 1, 1)


async def _numbered(conn: WebSocketConnection, number: int) -> Any:
    item = {
        "type": "news",
        "payload": {"n": number},
        "roomId": _ROOM,
        "id": f"m{number}",
        "stream": "s",
        "seq": number,
    }
    answer = await conn.request("batch", [item])
    return answer.payload["results"][0]
