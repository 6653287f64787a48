from __future__ import annotations

import itertools

import pytest

from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.in_memory.unreliable_network import MessageFaults
from rtlab.testing.mock.mock_script_steps import PeerScript, ScriptError
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import ScriptedPeer

NUMBERS = [str(n) for n in range(200)]


def arrivals(faults: MessageFaults) -> list[str]:
    async def main():
        script = PeerScript().send(*NUMBERS).pause(9).close()
        async with MockWebSocket(ScriptedPeer(script, link=faults)) as ws:
            return [data async for data in ws]

    return FakeClock().run(main())


def test_faults_follow_from_the_seed():
    bad = {"delay": (0, 0.2), "lose": 0.1, "repeat": 0.1, "reorder": 0.1}
    first, again, other = (MessageFaults(seed, **bad) for seed in (7, 7, 8))
    got = arrivals(first)
    assert arrivals(again) == got != arrivals(other)
    assert first.counts == again.counts
    assert len(got) == 200 - first.counts["lost"] + first.counts["repeated"]
    assert min(first.counts[name] for name in ("lost", "repeated", "reordered")) > 5


def test_delays_alone_keep_the_order():
    assert arrivals(MessageFaults(3, delay=(0, 1))) == NUMBERS


@pytest.mark.parametrize("delay", [0.0, 0.1])
def test_a_message_that_is_late_is_overtaken_and_all_others_keep_their_order(delay: float):
    bad = MessageFaults(delay=delay, reorder=0.1)
    got, late = arrivals(bad), set[str]()
    while (others := [n for n in got if n not in late]) != sorted(others, key=int):
        # Of two that are in the wrong order, the one that was sent first is the late one.
        late.add(next(a for b, a in itertools.pairwise(others) if int(a) < int(b)))
    assert sorted(got, key=int) == NUMBERS
    assert 0 < len(late) <= bad.counts["reordered"]


def test_a_close_never_overtakes_a_message_that_is_late():
    async def main():
        script = PeerScript().send(*NUMBERS).close()
        async with MockWebSocket(ScriptedPeer(script, link=MessageFaults(delay=0.1, reorder=0.5))) as ws:
            return [data async for data in ws]

    assert sorted(FakeClock().run(main()), key=int) == NUMBERS


def test_a_refusal_by_chance_is_a_port_where_nobody_listens():
    async def main():
        async with MockWebSocket(ScriptedPeer(link=MessageFaults(refuse=1))):
            pass

    with pytest.raises(ConnectionRefusedError):
        FakeClock().run(main())


@pytest.mark.parametrize("wrong", [{"lose": -0.1}, {"repeat": 1.1}, {"delay": -1}, {"delay": (2, 1)}])
def test_impossible_faults_are_refused(wrong: dict):
    with pytest.raises(ScriptError, match="expected"):
        MessageFaults(**wrong)
