from __future__ import annotations

import pytest

from tests.notebook_exercises import run

NAME = "15_authentication"


async def test_exercise_1():
    refused_after = (await run(NAME, 1))["refused_after"]
    # The hint: b/(p − r).
    assert refused_after == pytest.approx(60 / (200 - 20), abs=2 / 200)


async def test_exercise_2():
    forgiving = (await run(NAME, 2))["Forgiving"]
    now = 0.0
    tokens = forgiving(clock=lambda: now)
    first = tokens.issue("bob")
    second = tokens.use(first)
    now = 1.9
    assert tokens.use(first) == second
    third = tokens.use(second)
    # The successor was used: a repeat of the first is a theft now, within the grace or not.
    with pytest.raises(PermissionError):
        tokens.use(first)
    with pytest.raises(PermissionError):
        tokens.use(third)
    late = tokens.issue("ada")
    tokens.use(late)
    now = 4.0
    with pytest.raises(PermissionError):
        tokens.use(late)


async def test_exercise_2_ends_by_itself_and_keeps_no_successor():
    forgiving = (await run(NAME, 2))["Forgiving"]
    now = 0.0
    tokens = forgiving(clock=lambda: now)
    both = tokens.use(stolen := tokens.issue("bob"))
    now = 1.0
    assert tokens.use(stolen) == both  # the thief, within the grace
    now = 60.0
    newest = tokens.use(both)
    now = 61.0
    with pytest.raises(PermissionError):
        tokens.use(both)  # again within it: what two have is forgiven nothing
    with pytest.raises(PermissionError):
        tokens.use(newest)
    honest = tokens.issue("ada")
    for _ in range(20):
        now += 60.0
        honest = tokens.use(honest)
    assert len(tokens.recent) == 1
