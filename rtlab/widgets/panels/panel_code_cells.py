"""The cells of code that panels hand out: rtlab calls that do what a panel shows, without the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.widgets.panels.copy_as_code_button import call_as_code

if TYPE_CHECKING:
    from rtlab.client.connection import Connection

__all__ = ["chat_code", "faults_code", "queue_code", "rooms_code"]

#: Class name of a connection → the expression for its URL in a lab.
_URLS: Final[Mapping[str, str]] = {
    "WebSocketConnection": "own.ws_url",
    "ServerSentEvents": "own.url",
    "LongPolling": "own.url",
    "WebRTCChannel": "own.url",
}


def queue_code(queue: MessageQueue) -> str:
    """Return the cell that makes a queue with these options, sends through it and retries dead letters."""
    kind = _kind(queue.conn)
    defaults = {name: given.default for name, given in signature(MessageQueue).parameters.items()}
    chosen = {"name": queue.name, **msgspec.structs.asdict(queue.options)}
    changed = {name: value for name, value in chosen.items() if value != defaults[name]}
    # The panel's own file is in use: the cell makes one of the same name in its own folder.
    path = [] if str(queue.path) == ":memory:" else [repr(PurePath(queue.path).name)]
    made = call_as_code("MessageQueue", "conn", *path, **changed)
    return f"""{_imports(kind, "MessageQueue")}

async with Lab() as own:
    conn = {kind}({_URLS[kind]})
    queue = {_indented(made)}
    async with queue, conn:  # first the queue: its file knows the client's name
        receipt = await queue.send("note", {{"text": "hi"}}, room_id="notes")
        await receipt.acked(10)
        print(queue.stats, await queue.dead_letters())
        await queue.retry()"""


def rooms_code(conn: Connection, rooms: Sequence[str]) -> str:
    """Return the cell that joins these rooms, prints what happens there, and sends a message to each."""
    kind = _kind(conn)
    return f"""import asyncio

{_imports(kind, "RoomManager")}

async with Lab() as own, {kind}({_URLS[kind]}) as conn, RoomManager(conn) as rooms:
    for room_id in {list(rooms)!r}:
        await rooms.join_room(room_id, {{"on_message": print, "on_users_update": print}})
        await rooms.send(room_id, "chat", {{"text": "hi"}})
    await asyncio.sleep(1)  # who is there is told a few times a second
    for room_id in rooms:
        print(room_id, rooms.active_users(room_id), conn.stats.rooms[room_id])"""


def chat_code(room_id: str, conns: Sequence[Connection]) -> str:
    """Return the cell in which each of these users joins the room and sends a message effectively once."""
    kinds = [_kind(conn) for conn in conns]
    made = [
        call_as_code(kind, _URLS[kind], **({"client_id": conn.client_id} if conn.client_id else {}))
        for kind, conn in zip(kinds, conns, strict=True)
    ]
    lines = "".join(f"        await stack.enter_async_context({conn}),\n" for conn in made)
    return f"""from contextlib import AsyncExitStack

from rtlab import {", ".join(sorted({"Lab", "RoomManager", *kinds}))}

async with Lab() as own, AsyncExitStack() as stack:
    users = [
{lines}    ]
    rooms = [RoomManager(conn) for conn in users]
    for room in rooms:
        await room.join_room({room_id!r}, {{"on_message": lambda message: print(message.payload)}})
    for room in rooms:
        receipt = await room.send({room_id!r}, "chat", {{"text": "hi"}}, delivery="effectively_once")
        await receipt.acked(10)"""


def faults_code(state: Mapping[str, Any]) -> str:
    """Return the cell that applies the same faults to an open connection.

    Parameters
    ----------
    state : mapping
        As `rtlab.widgets.panels.active_faults_description.state_of` returns it.
    """
    faults: list[str] = []
    if state["profile"]:
        faults.append(call_as_code("own.faults.profile", repr(state["profile"])))
    if state["rtt"] or state["jitter"]:
        jitter = {"jitter": state["jitter"]} if state["jitter"] else {}
        faults.append(call_as_code("own.faults.latency", repr(state["rtt"]), **jitter))
    rest = "".join(f"\n        # here without a control: {other}" for other in state["others"])
    asked = "print(await conn.ping())"
    if state["pulled"] or state["down"]:
        faults.append("own.faults.blackhole()" if state["pulled"] else "own.faults.down()")
        asked = """try:
            await conn.request("echo", timeout=1)
        except (TimeoutError, RtlabError) as error:
            print(repr(error))"""
    names = "Lab, RtlabError, WebSocketConnection" if "try" in asked else "Lab, WebSocketConnection"
    way = f"    async with {', '.join(faults)}:{rest}\n        {asked}" if faults else f"    {asked}"
    return f"""from rtlab import {names}

async with Lab(faults=True) as own, WebSocketConnection(own.faults.ws_url) as conn:
{way}"""


def _kind(conn: Connection) -> str:
    """Return the name of a connection's class if it is in `_URLS`, else ``WebSocketConnection``."""
    name = type(conn).__name__
    return name if name in _URLS else "WebSocketConnection"


def _imports(*names: str) -> str:
    return f"from rtlab import {', '.join(sorted({'Lab', *names}))}"


def _indented(call: str) -> str:
    return call.replace("\n", "\n    ")
