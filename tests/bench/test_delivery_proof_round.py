"""The short proof: seeded faults on each transport, and from one to another, three modes at once."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from rtlab.bench.delivery_proof_round import KINDS, MODES, Round, run_round
from rtlab.bench.start_delivery_proof_child import ClientsProcess
from rtlab.errors import LabError
from rtlab.lab.lab import Lab
from rtlab.measure.delivery_ledger import Anomalies

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: Messages of each sender (there are four), faults, and restarts of the server among them: 5,000 messages and
#: 40 faults. WebRTC takes seconds to come back after each.
SIZES = {
    "websocket": (330, 11, 1),
    "sse": (330, 11, 1),
    "longpoll": (330, 11, 1),
    "fallback": (230, 7, 0),
    "webrtc": (40, 2, 0),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab():
    async with Lab(faults=True) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clients():
    async with ClientsProcess() as running:
        yield running


@pytest.mark.parametrize("kind", KINDS)
async def test_each_mode_keeps_its_promise_and_no_more(lab: Lab, clients: ClientsProcess, kind: str):
    count, faults, restarts = SIZES[kind]
    async with asyncio.timeout(180):
        done = await run_round(
            lab,
            clients,
            kind,
            1,
            count=count,
            faults=faults,
            heartbeat=(0.2, 0.2) if kind == "webrtc" else None,
            restarts=restarts,
        )
    assert done.broken() == []
    assert sum(done.faults.values()) == faults
    assert done.carried == [kind] if kind != "fallback" else len(done.carried) > 1
    for mode in MODES[1:]:
        account = done.up[mode]
        assert (account.ok, account.received + account.resynced) == (count, count)
    # Down to the clients the sessions resume, whatever the mode of what they send.
    assert [account.received + account.resynced for account in done.down.values()] == [count] * len(MODES)


async def test_a_round_that_hangs_says_at_what(lab: Lab, clients: ClientsProcess):
    found = "websocket hung, .* while the clients connect: of each sender's 5 messages .* 0 at_most_once"
    with pytest.raises(LabError, match=found):
        await run_round(lab, clients, "websocket", 2, count=5, faults=0, deadline=0.0)


async def test_a_broken_promise_is_named():
    fine = {mode: Anomalies("bob", mode) for mode in MODES}
    allowed = {**fine, "at_most_once": Anomalies("bob", "", lost_middle=3)}
    allowed["at_least_once"] = Anomalies("bob", "", duplicates=3, reordered=1)
    assert Round("sse", 1, {}, ["sse"], allowed, fine).broken() == []
    bad = {**fine, "effectively_once": Anomalies("bob", "", duplicates=1)}
    bad["at_most_once"] = Anomalies("bob", "", duplicates=1)
    bad["at_least_once"] = Anomalies("bob", "", lost_postfix=1)
    assert len(Round("sse", 1, {}, ["sse"], bad, bad).broken()) == 6


async def test_what_a_resync_told_of_needs_a_restart():
    fine = {mode: Anomalies("bob", mode) for mode in MODES}
    told = {**fine, "effectively_once": Anomalies("bob", "", resynced=3)}
    assert Round("sse", 1, {"restart": 1}, ["sse"], told, fine).broken() == []
    (broken,) = Round("sse", 1, {"rst": 1}, ["sse"], told, fine).broken()
    assert "effectively_once" in broken
