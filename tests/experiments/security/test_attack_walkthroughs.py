"""The recorded attacks are whole, and the code that recorded them still makes the same."""

from __future__ import annotations

import pytest

from rtlab.errors import LabError
from rtlab.experiments.security.attack_walkthroughs import StagedRun, recorded_attacks, stage_attacks
from rtlab.processes.find_program import find_program


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


def test_an_attack_that_is_not_in_a_run_is_refused_with_the_next_step() -> None:
    run = recorded_attacks()
    assert run.of("hijack", "right").setting == "right"
    part = StagedRun(run.about, [found for found in run.attacks if found.name == "smuggle"])
    with pytest.raises(LabError, match=r"smuggle \(naive\), smuggle \(right\); got hijack \(naive\)"):
        part.of("hijack", "naive")
    with pytest.raises(LabError, match=r"no attack; .*`recorded_attacks\(\)` has them all"):
        StagedRun(run.about, []).of("hijack", "naive")


@pytest.mark.skipif(find_program("nginx") is None, reason="nginx is not installed: apt-get install nginx")
async def test_a_run_of_today_is_as_the_recorded_one() -> None:
    run = await stage_attacks("smuggle")
    recorded = [found for found in recorded_attacks().attacks if found.name == "smuggle"]
    assert run.attacks == recorded
    assert run.when.startswith("live, ")
