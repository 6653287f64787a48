"""What writing the cursor of an event costs, in one room and in many, beside formatting it anew each time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.bench.throughput.process_reading import BENCH
from rtlab.server.frames_encoded_once import RoomPosition
from rtlab.server.last_event_id_cursor import CursorWriter, format_cursor

__all__ = ["cursors"]

_SESSION: Final = "0123456789abcdef"
_EPOCH: Final = "ab12cd34"


async def cursors(
    start_lab: StartLab, *, rooms: tuple[int, ...] = (1, 64), events: int = 10_000, repeats: int = 9
) -> list[Result]:
    """Return the CPU time of an event's cursor, for an event stream that is in `rooms` rooms.

    Each event advances the position in one room. `CursorWriter` rewrites only the part that the
    event changes; the peer writes the positions of all rooms (`format_cursor`).

    Parameters
    ----------
    start_lab : StartLab
        Not used: the writers run in this process, without a server.
    rooms : tuple of int
        Numbers of rooms to measure.
    events : int
        Events in each repeat.
    repeats : int
        Repeats of both sides, in turns.
    """
    rows: list[Result] = []
    for count in rooms:
        ours: list[float] = []
        whole: list[float] = []
        for _ in range(repeats):
            ours.append(_cost(_by_writer(count), count, events))
            whole.append(_cost(_written_whole(count), count, events))
        metric = f"cursor of an event, {count} {'room' if count == 1 else 'rooms'}"
        rows.append(Result.paired(BENCH, metric, ours, "µs", "written whole", whole))
    return rows


def _name(room: int) -> str:
    return f"room {room}"


def _by_writer(count: int) -> Callable[[int, RoomPosition], str]:
    writer = CursorWriter(_SESSION, [RoomPosition(_name(room), _EPOCH, 0) for room in range(count)])

    def write(position: int, place: RoomPosition) -> str:
        writer.move(place)
        return writer.at(position)

    return write


def _written_whole(count: int) -> Callable[[int, RoomPosition], str]:
    places = {_name(room): RoomPosition(_name(room), _EPOCH, 0) for room in range(count)}

    def write(position: int, place: RoomPosition) -> str:
        places[place.room_id] = place
        return format_cursor(_SESSION, position, places.values())

    return write


def _cost(write: Callable[[int, RoomPosition], str], count: int, events: int) -> float:
    """Return the CPU time per event, in µs."""
    steps = [(n, RoomPosition(_name(n % count), _EPOCH, n + 1)) for n in range(events)]
    began = time.process_time()
    for position, place in steps:
        write(position, place)
    return 1e6 * (time.process_time() - began) / events
