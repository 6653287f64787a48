"""Resuming a session on a new connection: the fields of the client's URL and of the ``welcome``."""

from __future__ import annotations

import msgspec

from rtlab.protocol.message_format import Message, fields_of

__all__ = ["Resume", "session_of", "session_query"]


class Resume(msgspec.Struct, frozen=True):
    """The session that a new connection resumes, and its position in it.

    Parameters
    ----------
    client_id : str or None
        The durable name of this client; None lets the server choose one.
    session : str or None
        The session to resume; None begins a new one.
    seq : int
        The number of the last message of that session that was handled.
    cursor : str or None
        The last opaque resume token, on transports that have one. It is not sent in the
        query; a server that gets it prefers it to `seq`.

    Examples
    --------
    >>> Resume("me", "s1", 7).query()
    {'clientId': 'me', 'session': 's1', 'seq': '7'}
    """

    client_id: str | None = None
    session: str | None = None
    seq: int = 0
    cursor: str | None = None

    def query(self) -> dict[str, str]:
        """Return the fields to add to the URL's query, the same for every transport."""
        fields: dict[str, str] = {}
        if self.client_id is not None:
            fields["clientId"] = self.client_id
        if self.session is not None:
            fields |= {"session": self.session, "seq": str(self.seq)}
        return fields


def session_of(message: Message) -> str | None:
    """Return the session in an rtlab server's ``welcome``; None for any other message.

    Parameters
    ----------
    message : Message
        A server's first message. A ``welcome`` of another protocol has no session in it.

    Returns
    -------
    str or None
    """
    session = fields_of(message.payload).get("session") if message.type == "welcome" else None
    return session if isinstance(session, str) else None


def session_query(welcome: Message) -> dict[str, str]:
    """Return the query fields for the session's later requests.

    They include ``clientId``, because a load balancer that hashes it to choose a server needs it
    in every request, from the first one on.

    Parameters
    ----------
    welcome : Message
        The server's welcome, with a session in it.

    Returns
    -------
    dict

    Examples
    --------
    >>> session_query(Message("welcome", {"session": "s1", "clientId": "me"}))
    {'session': 's1', 'clientId': 'me'}
    """
    detail = fields_of(welcome.payload)
    named = {name: detail.get(name) for name in ("session", "clientId")}
    return {name: value for name, value in named.items() if isinstance(value, str)}
