from __future__ import annotations

import asyncio

import pytest

from rtlab.experiments.transports.webrtc_phase_round_trips import PHASES, webrtc_phases
from rtlab.lab.lab import Lab

pytestmark = pytest.mark.calm


async def test_the_phases_of_a_connect_add_up_to_its_round_trips():
    async with asyncio.timeout(60), Lab(faults=True) as lab:
        phases = await webrtc_phases(lab, rtts_ms=(0, 200), repeats=3)
        assert await lab.faults.toxics() == []
        with pytest.raises(ValueError, match="two different"):
            await webrtc_phases(lab, rtts_ms=(5, 5))
    assert list(phases) == list(PHASES)
    # TCP and the offer; a check and the nomination; DTLS; SCTP's two, and the channel's.
    assert [round(k) for k in phases.values()] == [2, 2, 1, 3]
    assert sum(phases.values()) == pytest.approx(8, abs=0.6)
