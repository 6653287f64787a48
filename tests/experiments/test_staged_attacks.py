"""The recorded attacks are whole, and the code that recorded them still makes the same."""

from __future__ import annotations

import pytest

from rtlab.experiments.staged_attacks import recorded_attacks, stage_attacks
from rtlab.processes.programs_and_ports import find_program


def test_the_recorded_run_tells_every_attack_twice() -> None:
    run = recorded_attacks()
    assert run.successes("hijack", "referrer", "rebound", "smuggle") == {"naive": 4, "right": 0}
    assert run.when.startswith("recorded, 20")
    assert {(found.name, found.setting) for found in run.attacks} == {
        (name, setting)
        for name in ("hijack", "referrer", "rebound", "smuggle")
        for setting in ("naive", "right")
    }
    for found in run.attacks:
        assert found.log
        assert "messages between" in repr(found.figure())
        assert "eyJhb" not in str(found)
    assert "kittens" in repr(run.table("hijack"))


@pytest.mark.skipif(find_program("nginx") is None, reason="nginx is not installed: apt-get install nginx")
async def test_a_run_of_today_is_as_the_recorded_one() -> None:
    run = await stage_attacks("smuggle")
    recorded = [found for found in recorded_attacks().attacks if found.name == "smuggle"]
    assert run.attacks == recorded
    assert run.when.startswith("live, ")
