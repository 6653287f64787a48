from __future__ import annotations

import numpy as np

from tests.notebook_exercises import run

NAME = "19_state_and_hooks"


async def test_exercise_1():
    highest = (await run(NAME, 1, np=np))["highest"]
    kept = [1 / (rate / 60 + np.exp(-rate / 60)) for rate in (highest, highest + 1)]
    assert highest == 30
    # The hint: it falls with λ.
    assert kept[0] >= 0.9 > kept[1]


async def test_exercise_2():
    names = await run(NAME, 2)
    assert names["after_forged"] is names["before"]
    assert [message.payload for message in names["after_chat"].messages] == ["hi"]


async def test_exercise_3():
    from reacton import utils

    names = await run(NAME, 3)
    assert names["twice"]
    assert not names["in_a_room"]
    assert utils.equals([(1,)], [(1,)])  # the hint: an equal list, and the effect does not run
