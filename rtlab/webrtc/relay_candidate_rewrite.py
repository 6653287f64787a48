"""Leads all packets of a peer connection past a relay, whose faults they then suffer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rtlab.webrtc.session_description import candidate_ports, without_candidates

__all__ = ["Relay", "through_relay"]

#: Given the UDP port of the other side, returns the port of a relay in front of it.
Relay = Callable[[int], Awaitable[int]]


def through_relay(offer: str, relay: Relay | None) -> tuple[str, Callable[[str], Awaitable[str]]]:
    """Prepare an offer and its answer so that all packets pass a relay.

    Parameters
    ----------
    offer : str
        Our description. With a relay its candidates are left out: the other
        side learns where we are from our checks, which come from the relay.
    relay : callable or None
        Makes the relay.

    Returns
    -------
    offer : str
        The description to send.
    reroute : callable
        Takes the answer; returns it with the relay's ports (awaited).
    """

    async def reroute(answer: str) -> str:
        if relay is None:
            return answer
        ports, _ = candidate_ports(answer)
        return candidate_ports(answer, {port: await relay(port) for port in ports})[1]

    return offer if relay is None else without_candidates(offer), reroute
