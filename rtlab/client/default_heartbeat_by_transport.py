"""The heartbeat of a connection for which none was chosen, by its transport."""

from __future__ import annotations

from typing import Final, Literal

from rtlab.policies.missed_heartbeats_and_dead_peers import Heartbeat, Ping

__all__ = ["DefaultHeartbeat", "default_heartbeat"]

DefaultHeartbeat = Literal["default"]

#: By transport. Event streams and long polls need none: their transports end when the
#: server's heartbeat or answer is missing for ``silence_timeout`` or ``poll_timeout``. A dead peer of
#: a WebSocket usually shows by a TCP reset; UDP has no resets, so WebRTC pings more often.
_HEARTBEATS: Final[dict[str, Heartbeat]] = {
    "websocket": Ping(interval=20.0, timeout=20.0),
    "webrtc": Ping(interval=5.0, timeout=5.0),
}


#: Transports whose ping is a frame of rtlab's own, which a foreign peer does not answer.
_OWN_PINGS: Final = frozenset({"webrtc"})


def default_heartbeat(transport: str, *, foreign: bool = False) -> Heartbeat | None:
    """Return the heartbeat of connections whose ``heartbeat`` option is ``"default"``.

    Parameters
    ----------
    transport : str
        The transport's name.
    foreign : bool
        Whether the peer is no rtlab server: it does not answer rtlab's own pings.

    Returns
    -------
    Heartbeat or None
        None for a transport that itself detects silence, and for a foreign peer of a data channel,
        whose end ICE's consent checks find (RFC 7675).

    Examples
    --------
    >>> default_heartbeat("webrtc")
    Ping(interval=5.0, timeout=5.0)
    """
    return None if foreign and transport in _OWN_PINGS else _HEARTBEATS.get(transport)
