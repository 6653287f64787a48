"""The results of all WebSocket test cases for one end, as a table for a notebook."""

from __future__ import annotations

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

from rtlab.experiments.websocket_conformance.against_client import (
    ClientUnderTest,
    client_frames,
    client_handshakes,
    ours,
)
from rtlab.experiments.websocket_conformance.against_server import server_frames, server_handshakes
from rtlab.experiments.websocket_conformance.frame_cases import DEFLATE_CASES, FRAME_CASES
from rtlab.experiments.websocket_conformance.handshake_cases import ANSWER_CASES, REQUEST_CASES
from rtlab.experiments.websocket_conformance.outcome import ScoreboardRow

__all__ = ["client_scoreboard", "server_scoreboard"]


async def server_scoreboard(url: str) -> pd.DataFrame:
    """Run every case for servers on one server.

    Parameters
    ----------
    url : str
        URL of a server that speaks rtlab's protocol, with compression: ``Lab(compression=True)``.

    Returns
    -------
    pandas.DataFrame
        One row per case: `end`, `rule`, `section`, `holds`, `saw`.
    """
    rows = await server_handshakes(url, REQUEST_CASES)
    rows += await server_frames(url, FRAME_CASES)
    rows += await server_frames(url, DEFLATE_CASES, deflate=True)
    return pd.DataFrame(rows, columns=list(ScoreboardRow._fields))


async def client_scoreboard(client: ClientUnderTest = ours) -> pd.DataFrame:
    """Run every case for clients on rtlab's own client, or on another; returns as `server_scoreboard`."""
    rows = await client_handshakes(ANSWER_CASES, client)
    rows += await client_frames(FRAME_CASES, client)
    rows += await client_frames(DEFLATE_CASES, client, deflate=True)
    return pd.DataFrame(rows, columns=list(ScoreboardRow._fields))
