"""RFC 6455 and 7692, row by row, on real sockets: the lab's server, and the client."""

from __future__ import annotations

from rtlab.experiments.websocket_conformance.scoreboard import client_scoreboard, server_scoreboard
from rtlab.lab.lab import Lab


async def test_the_server_keeps_every_rule() -> None:
    async with Lab(compression=True) as lab:
        board = await server_scoreboard(lab.ws_url)
    assert board[~board.holds].to_dict("records") == []
    assert len(board) >= 160
    assert board.section.str.match(r"(6455|7692|9112) §\d").all()


async def test_the_client_keeps_every_rule() -> None:
    board = await client_scoreboard()
    assert board[~board.holds].to_dict("records") == []
    assert len(board) >= 135
