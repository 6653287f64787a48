from __future__ import annotations

from tests.notebook_exercises import run

NAME = "09_offline_queue_and_delivery"


async def test_exercise_1():
    names = await run(NAME, 1)
    assert (names["needed"], names["kafka"]) == (200, 2500)


async def test_exercise_2():
    newest = (await run(NAME, 2))["Newest"](3)
    assert [newest.again("ada", n) for n in (1, 2, 1, 3, 4)] == [False, False, True, False, False]
    # The hint: after n others the repeat counts as new.
    assert newest.again("ada", 1) is False
    assert newest.again("bob", 4) is False
