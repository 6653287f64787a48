"""The ``join_room`` messages of one connection: how they are made, and which of them an answer concerns.

`MessageDispatch` passes each answer to `JoinRequests`, and carries out what it means for the room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, cast

from rtlab.client.delivery.repeats_and_gaps import Position
from rtlab.client.pending_requests_and_answers import Requests, refusal_in
from rtlab.errors import RequestRefused
from rtlab.protocol.json_and_messagepack_codecs import JSON
from rtlab.protocol.message_format import Message, fields_of

__all__ = ["JoinAnswer", "JoinRequest", "JoinRequests", "Postpone"]

#: Called with the room and the refusal when a rejoin is refused for now: it is to be repeated later.
Postpone = Callable[[str, RequestRefused], None]


class JoinRequest(NamedTuple):
    """An unanswered ``join_room``.

    Parameters
    ----------
    room_id : str
        The room.
    epoch, offset : str and int, or None
        The position to resume from; None without one.
    member : bool
        Whether this client was a member of the room already.
    postpone : callable or None
        Repeats it after a temporary refusal; None: whoever asked hears of the refusal, and decides.
    """

    room_id: str
    epoch: str | None
    offset: int | None
    member: bool
    postpone: Postpone | None


class JoinAnswer(NamedTuple):
    """The server's answer to one ``join_room``: its fields, or the refusal."""

    request: JoinRequest
    detail: dict[str, Any]
    refusal: RequestRefused | None


class JoinRequests:
    """Makes the ``join_room`` messages of one connection, and finds the answers to them.

    Parameters
    ----------
    position : Position
        How far this client has received each room.
    requests : Requests
        Generates message ids.
    """

    def __init__(self, position: Position, requests: Requests) -> None:
        self._position = position
        self._requests = requests
        self._joins: dict[str, JoinRequest] = {}  # by the id of the join_room
        self._batches: dict[str, tuple[str, ...]] = {}  # id of a batch → ids of its joins

    def rejoins(self, max_bytes: int, postpone: Postpone) -> list[Message]:
        """Return messages that repeat unanswered leaves, and join the other rooms from their offsets.

        Rooms whose membership the server has confirmed in this session are left out.

        Parameters
        ----------
        max_bytes : int
            The largest message to send. All joins go in one ``batch`` if they fit.
        postpone : callable
            Repeats joins that are refused for now.
        """
        leaving = sorted(self._position.leaving)
        leaves = [Message("leave_room", {"roomId": one}, id=self._requests.new_id()) for one in leaving]
        groups: list[list[Message]] = []
        size = max_bytes
        for room_id in self._position.unconfirmed():
            join = self.join(room_id, postpone=postpone)
            # 100 bytes are more than enough for the comma and the batch's own fields.
            length = len(JSON.encode(join)) + 100
            size += length
            if size > max_bytes:
                groups.append([])
                size = length
            groups[-1].append(join)
        return leaves + [group[0] if len(group) == 1 else self._batch(group) for group in groups]

    def _batch(self, joins: list[Message]) -> Message:
        ident = self._requests.new_id()
        self._batches[ident] = tuple(join.id for join in joins if join.id is not None)
        items = [{"type": join.type, "payload": join.payload, "id": join.id} for join in joins]
        return Message("batch", items, id=ident)

    def join(self, room_id: str, *, probe: bool = False, postpone: Postpone | None = None) -> Message:
        """Make a ``join_room`` message that resumes from this client's position in the room.

        Parameters
        ----------
        room_id : str
            The room's name.
        probe : bool
            Whether to ask the server if this client was still a member.
        postpone : callable, optional
            Repeats it if it is refused for now.
        """
        room = self._position.rooms.get(room_id)
        payload: dict[str, Any] = {"roomId": room_id}
        epoch, offset = (None, None) if room is None else (room.epoch, room.received)
        if room is not None:
            payload |= {"epoch": epoch, "offset": offset}
        if probe:
            payload["probe"] = True
        ident = self._requests.new_id()
        # In a new session, this client is a member only once the server has confirmed the new join.
        member = room is not None and room.session == self._position.session
        self._joins[ident] = JoinRequest(room_id, epoch, offset, member, postpone)
        return Message("join_room", payload, id=ident)

    def forget(self, join: Message) -> None:
        """Ignore a late answer to a ``join_room`` that was given up."""
        self._joins.pop(join.id or "", None)

    def forget_all(self) -> None:
        """Forget every unanswered ``join_room``: the connection that would have answered is gone."""
        self._joins.clear()
        self._batches.clear()

    def answered(self, ident: str, answer: Message) -> Iterable[JoinAnswer]:
        """Find each ``join_room`` that a message answers: one, those of a batch, or none."""
        return self._find(ident, answer) if self._joins else ()  # most answers are to other requests

    def _find(self, ident: str, answer: Message) -> Iterator[JoinAnswer]:
        detail = fields_of(answer.payload)
        batch = self._batches.pop(ident, None)
        if batch is None or answer.type == "error":
            for one in (ident,) if batch is None else batch:
                yield from self._answered(one, detail, refused=answer.type == "error")
            return
        results = detail.get("results")
        for result in map(fields_of, cast("list[object]", results) if isinstance(results, list) else ()):
            refused = result.get("ok") is not True
            words = fields_of(result.get("error")) if refused else result
            yield from self._answered(str(result.get("id")), words, refused=refused)

    def _answered(self, ident: str, detail: dict[str, Any], *, refused: bool) -> Iterator[JoinAnswer]:
        request = self._joins.pop(ident, None)
        if request is not None:
            yield JoinAnswer(request, detail, refusal_in(detail, "refused") if refused else None)
