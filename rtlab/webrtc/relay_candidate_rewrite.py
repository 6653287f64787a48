"""Rewrites descriptions so that all packets of a peer connection pass a relay that injects faults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rtlab.webrtc.sdp_reader_and_editor import candidate_ports, without_candidates

__all__ = ["Relay", "through_relay"]

#: Called with the UDP port of the other side; returns the port of a relay in front of it.
Relay = Callable[[int], Awaitable[int]]


def through_relay(offer: str, relay: Relay | None) -> tuple[str, Callable[[str], Awaitable[str]]]:
    """Prepare an offer and its answer so that all packets pass a relay.

    Parameters
    ----------
    offer : str
        This side's description. With a relay, its candidates are removed: the other side learns
        the address from this side's connectivity checks, which arrive through the relay.
    relay : callable or None
        Makes the relay; None changes nothing.

    Returns
    -------
    offer : str
        The description to send.
    reroute : callable
        Called with the answer and awaited; returns the answer with the relay's ports.
    """

    async def reroute(answer: str) -> str:
        if relay is None:
            return answer
        ports, _ = candidate_ports(answer)
        return candidate_ports(answer, {port: await relay(port) for port in ports})[1]

    return offer if relay is None else without_candidates(offer), reroute
