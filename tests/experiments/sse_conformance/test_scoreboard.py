"""The scoreboard: ours keeps every row, and what httpx-sse keeps is what it really does."""

from __future__ import annotations

import asyncio
from typing import Any

from rtlab.experiments.sse_conformance.parsing_cases import ParsingCase
from rtlab.experiments.sse_conformance.scoreboard import sse_scoreboard


async def test_ours_keeps_every_row() -> None:
    scores: Any = await sse_scoreboard()
    assert list(scores["rule"]) == list(range(1, 18))
    assert (scores["rtlab"] == scores["cases"]).all(), scores.to_string()
    assert scores["cases"].sum() > 80


async def test_httpx_sse_falls_short_where_it_is_known_to() -> None:
    scores: Any = await sse_scoreboard(details=True)
    short: Any = scores[~scores["httpx-sse"]]
    assert sorted(set(short["rule"])) == [1, 8, 10, 11, 12, 13, 14, 15, 17], short.to_string()
    # A row is lost for its own reason: within these rules it also keeps some.
    assert scores.query("rule == 13 and case == 'text/event-stream'")["httpx-sse"].all()
    assert scores.query("rule == 10 and case == 'digits'")["httpx-sse"].all()


async def test_an_interrupt_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    board = asyncio.create_task(sse_scoreboard())
    while not any("_HttpxSse" in repr(task) for task in asyncio.all_tasks()):  # in the middle of a row
        await asyncio.sleep(0)
    board.cancel()
    await asyncio.gather(board, return_exceptions=True)
    assert asyncio.all_tasks() == before


class Deaf:
    """A client that hears nothing and asks nobody."""

    async def parse(self, case: ParsingCase, chunks: list[bytes]) -> tuple[list[tuple[str, str, str]], None]:
        return [], None

    async def follow(self, url: str, headers: dict[str, str], got: list[str]) -> None:
        pass


async def test_a_client_of_ones_own_is_judged() -> None:
    board: Any = await sse_scoreboard(clients={"deaf": Deaf()})
    scores = board.set_index("rule")
    assert list(scores.columns) == ["says", "cases", "deaf"]
    assert scores.loc[2, "deaf"] == 0
    # Rule 3, comments, has rows where nothing is to come.
    assert 0 < scores.loc[3, "deaf"] < scores.loc[3, "cases"]
    # Who never asks keeps no rule of connecting, not even those by which nothing may come.
    assert scores.loc[13:, "deaf"].sum() == 0
