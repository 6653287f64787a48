"""The benchmark of the checks measures what it says, on a small scale."""

from __future__ import annotations

import pytest

from rtlab.bench.suites import security
from rtlab.errors import RtlabError
from rtlab.lab.lab import Lab


async def test_a_check_an_attack_and_a_refresh_are_measured_against_their_absence() -> None:
    (frames,) = await security.run(Lab.start, tiny=True, only="frames")
    assert (frames.unit, frames.peer, frames.at_least) == ("msg/CPU s", "without", 0.9)
    assert frames.value > 0
    (loris,) = await security.run(Lab.start, tiny=True, only="loris")
    assert (loris.peer, loris.at_most) == ("none", 1.2)
    lost, shown = await security.run(Lab.start, tiny=True, only="refresh")
    assert (lost.value, lost.holds) == (0, True)
    assert shown.at_most == 1.1
    with pytest.raises(RtlabError, match="expected a row out of validation"):
        await security.run(Lab.start, only="nothing")
