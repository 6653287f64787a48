"""Authorises clients while their connections are open: checks tokens and rights, and renews tokens.

A check at the handshake is not enough: a token may expire, a login may be revoked, and a role may
change while a connection is open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from rtlab.protocol.message_format import RESERVED_TYPES
from rtlab.server.auth.principal import BadCredentials
from rtlab.server.auth.role_permissions import Permission, may
from rtlab.server.connection_registry import Connections
from rtlab.server.frames_encoded_once import EncodedFrame, RoomPosition, error_message
from rtlab.server.handlers.handler_interface import room_of
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.refusal_and_end_reasons import Ended, Refused
from rtlab.server.rooms.name_and_join_rules import MAX_ROOMS
from rtlab.server.rooms.room_membership_hub import Hub
from rtlab.server.sessions.session_registry_and_expiry import Sessions
from rtlab.server.sessions.session_with_replay import Session

if TYPE_CHECKING:
    from rtlab.server.auth.request_authentication import Authority

__all__ = ["TOKEN_EXPIRED", "Reauthorization"]

#: Why the server closes a connection whose access token has expired.
TOKEN_EXPIRED: Final = Ended(
    4001, "token_expired", "the access token has expired: refresh it, and connect again"
)

_ENDINGS: Final = {
    "token_expired": TOKEN_EXPIRED,
    "revoked": Ended(4501, "revoked", "this login was revoked: log in again"),
}


class Reauthorization:
    """Checks the tokens and rights of one server's sessions.

    Parameters
    ----------
    authority : Authority
        Checks tokens, and knows the users.
    connections, sessions, hub : Connections, Sessions, Hub
        The server's connections, sessions and rooms.
    allows : callable
        Returns whether roles allow an action in a room.
    revalidate : float
        Seconds after which the users of open sessions are looked up again.
    """

    def __init__(
        self,
        authority: Authority,
        connections: Connections,
        sessions: Sessions,
        hub: Hub,
        allows: Callable[[tuple[str, ...], Permission, str], bool] = may,
        revalidate: float = 1800.0,
    ) -> None:
        self._authority = authority
        self._connections = connections
        self._sessions = sessions
        self._hub = hub
        self._allows = allows
        self._revalidate = revalidate
        self._looks_up_at = authority.clock() + revalidate

    def authenticate(self, incoming: Incoming) -> None:
        """As an ingress step, refuse messages, except ``auth``, after the sender's token has ended."""
        session = incoming.session
        if incoming.message.type != "auth" and (ending := self._ending(session)) is not None:
            self._connections.cut(session, ending)
            raise Refused(ending.code, ending.text)

    def authorise(self, incoming: Incoming) -> None:
        """As an ingress step, refuse to join or to publish where the sender's roles do not allow it."""
        session, message = incoming.session, incoming.message
        kind, room_id, proof = message.type, message.room_id, session.principal
        if kind in RESERVED_TYPES and kind != "join_room":
            return
        publishing = kind != "join_room"
        if publishing and proof is not None and room_id and session.may_publish.get(room_id) is proof:
            incoming.room = room_id  # its name was checked before it was stored there
            return
        room_id = room_of(incoming)
        if room_id is None:
            return
        self.check(session, "publish" if publishing else "subscribe", room_id)
        if publishing and proof is not None and room_id in session.rooms:
            if len(session.may_publish) >= MAX_ROOMS:
                session.may_publish.clear()  # the session has left some of these rooms
            session.may_publish[room_id] = proof

    def check(self, session: Session, action: Permission, room_id: str) -> None:
        """Raise `Refused` unless a session may do this; the text does not reveal whether the room exists."""
        principal = session.principal
        if principal is None or not self._allows(principal.roles, action, room_id):
            raise Refused("forbidden", f"you may not {action} there")

    def renew(self, session: Session, token: object) -> Answer:
        """Replace a session's token; take the session out of rooms that the new token does not allow.

        Raises
        ------
        Refused
            If the token is not accepted. The former token then stays valid until it ends.
        """
        try:
            if not isinstance(token, str):
                raise BadCredentials("bad_token", 'expected {"token": "…"}')
            principal = self._authority.check(token)
        except BadCredentials as error:
            raise Refused(error.code, str(error), strikes=1) from None
        if principal.user != session.user:
            raise Refused("wrong_user", "the token is another user's: open another connection", strikes=1)
        session.principal = principal
        left = self._leave_forbidden(session)
        seconds = max(0.0, principal.expires_at - self._authority.clock())
        details = {"required": True, "expiresIn": round(seconds, 3), "left": left}
        return Answer(details, tuple(RoomPosition(room_id, "", None) for room_id in left))

    def enforce(self) -> None:
        """Close the connections whose token has ended; called four times a second.

        Every `revalidate` seconds it looks up the sessions' users, too: a token states the roles that the
        user had when it was signed.
        """
        if self._authority.clock() >= self._looks_up_at:
            self._looks_up_at = self._authority.clock() + self._revalidate
            self._look_up()
        for session in list(self._sessions):
            ending = self._ending(session)
            if ending is not None and (session.sink is not None or ending.close_code == 4501):
                self._connections.cut(session, ending)

    def _look_up(self) -> None:
        for session in list(self._sessions):
            if session.principal is None:
                continue
            try:
                session.principal = self._authority.looked_up(session.principal)
            except BadCredentials:
                self._authority.refresh_tokens.revoke(session.principal.family)
                continue
            left = self._leave_forbidden(session)
            if left:
                text = "your rights have changed: you are in these rooms no more"
                positions = tuple(RoomPosition(room_id, "", None) for room_id in left)
                message = error_message("forbidden", text, details={"left": left})
                session.deliver(EncodedFrame(message, positions), asked_for=True)

    def _leave_forbidden(self, session: Session) -> list[str]:
        """Take a session out of the rooms that its roles no longer allow; return these rooms."""
        left = [room_id for room_id in session.rooms if not self._allowed(session, room_id)]
        for room_id in left:
            session.rooms.pop(room_id)
            self._hub.leave(session, room_id)
        return left

    def _ending(self, session: Session) -> Ended | None:
        state = None if session.principal is None else self._authority.state_of(session.principal)
        return None if state is None else _ENDINGS[state]

    def _allowed(self, session: Session, room_id: str) -> bool:
        try:
            self.check(session, "subscribe", room_id)
        except Refused:
            return False
        return True
