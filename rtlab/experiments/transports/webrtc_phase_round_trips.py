"""Round trips of each phase of a WebRTC connect; the first packet of a kind marks the end of a phase."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from rtlab.capture.udp_tap import UdpTap
from rtlab.client.client_factory_by_transport import make_client
from rtlab.errors import LabError
from rtlab.experiments.transports.direct_or_delayed_path import path_to
from rtlab.measure.statistics.line_fit import fit_line

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["PHASES", "webrtc_phases"]

#: Phase → kind of packet whose first arrival ends it; the last phase ends when the connection is usable.
PHASES: Final[dict[str, str]] = {
    "signalling: TCP, offer and answer": "stun",
    "ICE: a check, and a nomination": "handshake",
    "DTLS": "data",
    "SCTP, data channel, first message": "",
}


async def webrtc_phases(
    lab: Lab, *, rtts_ms: tuple[float, ...] = (0.0, 50.0, 100.0), repeats: int = 3
) -> dict[str, float]:
    """Measure how many round trips each phase of WebRTC's connect takes.

    A phase ends when the first packet of the next phase reaches the client. The number of round trips is
    the slope of the phase's duration over the added round-trip time, as in `connect_round_trips`.

    Parameters
    ----------
    lab : Lab
        A running lab, started with ``faults=True``.
    rtts_ms : tuple of float
        Milliseconds to add to a round trip; at least two different ones.
    repeats : int
        Number of connects at each added round-trip time.

    Returns
    -------
    dict of str to float
        Phase → its round trips, in order of the phases; their sum is that of the whole connect.

    Raises
    ------
    LabError
        When no packet of a phase was seen.

    Notes
    -----
    All packets after the DTLS handshake are encrypted, so SCTP's handshake (two round trips, RFC 9260
    section 5.1) and the opening of the data channel (RFC 8832) cannot be told apart and are one phase here.

    Examples
    --------
    ::

        phases = await webrtc_phases(lab)
        sum(phases.values())  # 8
    """
    if len(set(rtts_ms)) < 2:
        raise ValueError(f"expected at least two different rtts_ms, got {rtts_ms}")
    async with make_client("webrtc", lab.url, ssl=lab.ssl):
        pass  # importing modules must not count as part of a phase
    x: list[float] = []
    times: dict[str, list[float]] = {phase: [] for phase in PHASES}
    for rtt_ms in rtts_ms:
        async with path_to(lab, rtt_ms) as path:
            for _ in range(repeats):
                x.append(rtt_ms)
                async with UdpTap(path.delay) as tap:
                    conn = make_client("webrtc", path.url, ssl=path.ssl, relay=tap.relay)
                    began = time.monotonic()
                    async with conn:
                        ended = time.monotonic()
                for phase, last in _lasted(tap, began, ended).items():
                    times[phase].append(last * 1e3)
    return {phase: fit_line(np.array(x), np.array(taken))[0] for phase, taken in times.items()}


def _lasted(tap: UdpTap, began: float, ended: float) -> dict[str, float]:
    """Return the duration of each phase of one connect in seconds."""
    lasted: dict[str, float] = {}
    for phase, kind in PHASES.items():
        ends = ended
        if kind:
            seen = {str(name): at for name, at in tap.first_at_client.items()}
            if kind not in seen:
                raise LabError(f"no {kind} packet came through the relay: cannot tell the phases apart")
            ends = seen[kind]
        lasted[phase] = ends - began
        began = ends
    return lasted
