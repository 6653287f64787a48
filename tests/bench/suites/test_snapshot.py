from __future__ import annotations

from rtlab.bench.suites import snapshot
from rtlab.lab.lab import Lab


async def test_no_interleaving_has_a_gap_when_the_position_is_read_first():
    for result in await snapshot.run(Lab.start, count=300):
        assert result.value == 0
        assert result.peer_value is not None
        assert result.peer_value > 0
