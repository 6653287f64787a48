"""Continuing a session on a new connection: what a client's URL says, and what a ``welcome`` answers."""

from __future__ import annotations

import msgspec

from rtlab.protocol.messages import Message, fields_of

__all__ = ["Resume", "session_of", "session_query"]


class Resume(msgspec.Struct, frozen=True):
    """Where a new connection continues.

    Parameters
    ----------
    client_id : str or None
        The durable name of this client.
    session : str or None
        The session to continue, None for a new one.
    seq : int
        Messages of that session already handled.
    cursor : str or None
        The last opaque token, on transports that have one. It does not travel in
        the query; a server that gets it prefers it to `seq`.

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
        """Return what to add to the URL's query, the same on every transport."""
        fields: dict[str, str] = {}
        if self.client_id is not None:
            fields["clientId"] = self.client_id
        if self.session is not None:
            fields |= {"session": self.session, "seq": str(self.seq)}
        return fields


def session_of(message: Message) -> str | None:
    """Return the session that a ``welcome`` of our server names; None for any other message.

    Parameters
    ----------
    message : Message
        A server's first message. Other protocols have a ``welcome`` too, but no session in it.

    Returns
    -------
    str or None
    """
    session = fields_of(message.payload).get("session") if message.type == "welcome" else None
    return session if isinstance(session, str) else None


def session_query(welcome: Message) -> dict[str, str]:
    """Return what the session's later requests have in their query.

    Who forwards requests can tell by ``clientId`` whose they are: a balancer that hashes it
    needs it in each, from the first one on.

    Parameters
    ----------
    welcome : Message
        With a session in it.

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
