"""An experiment that fails says what is missing, and whether the machine stood still meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, cast

import pytest

from rtlab.errors import LabError, MachineBusy, NotConnected
from rtlab.lab.experiment_time_limit import undisturbed
from rtlab.lab.lab import Lab

#: Longer than a node's lease.
STANDS = 1.4


class Nodes:
    """Stands for a lab: of each node, how often its process gave up, and its pid; None does not answer."""

    def __init__(self, *lapses: int) -> None:
        self.now(*((count, node) for node, count in enumerate(lapses)))

    def now(self, *nodes: tuple[int, int] | None) -> None:
        self.nodes = nodes

    @property
    def urls(self) -> list[str]:
        return [""] * len(self.nodes)

    async def stats(self, node: int) -> dict[str, Any]:
        found = self.nodes[node]
        if found is None:
            raise LabError("no answer")
        return {"pid": found[1], "cluster": {"lapses": found[0]}}

    @property
    def lab(self) -> Lab:
        return cast("Lab", self)


async def fail(
    lab: Lab, error: BaseException | None, *, seconds: float = 60, change: Callable[[], None]
) -> None:
    """Run an experiment that changes the nodes, and raises an error, or waits for ever without one."""
    async with undisturbed(lab, seconds, lambda: "3 of 4 came"):
        change()
        if error is not None:
            raise error
        await asyncio.Event().wait()


async def test_who_waits_for_ever_is_told_what_is_missing_and_what_to_run() -> None:
    with pytest.raises(LabError, match=r"after 0\.01 s: 3 of 4 came; .*run this cell again") as raised:
        await fail(Nodes(0, 5).lab, None, seconds=0.01, change=lambda: None)
    assert not isinstance(raised.value, MachineBusy)


async def test_another_wait_that_ended_keeps_its_words() -> None:
    with pytest.raises(LabError, match=r"no answer to 'n' within 5 s: 3 of 4 came; .*again"):
        await fail(Nodes(0).lab, TimeoutError("no answer to 'n' within 5 s"), change=lambda: None)


async def test_other_errors_of_ours_pass() -> None:
    with pytest.raises(NotConnected, match=r"^lost$"):
        await fail(Nodes(0).lab, NotConnected("lost"), change=lambda: None)


async def test_an_interrupt_passes() -> None:
    nodes = Nodes(0)
    with pytest.raises(asyncio.CancelledError):
        await fail(nodes.lab, asyncio.CancelledError(), change=lambda: nodes.now((1, 0)))


async def test_a_node_that_gave_up_its_rooms_meanwhile_is_to_blame() -> None:
    nodes = Nodes(3, 0)
    with pytest.raises(MachineBusy, match=r"3 of 4 came.*run this cell again"):
        await fail(nodes.lab, NotConnected("lost"), change=lambda: nodes.now((3, 0), (1, 1)))


async def test_what_a_process_counted_before_is_no_excuse_and_neither_is_a_dead_or_another_one() -> None:
    nodes = Nodes(3, 2, 1)
    with pytest.raises(NotConnected):
        await fail(nodes.lab, NotConnected("lost"), change=lambda: nodes.now((3, 0), None, (0, 7)))


async def test_nothing_is_said_of_an_experiment_that_came_to_its_end() -> None:
    nodes = Nodes(0)
    async with undisturbed(nodes.lab, 60, lambda: "unheard of"):
        nodes.now((1, 0))


async def test_a_lab_alone_has_nothing_to_give_up() -> None:
    async with Lab() as lab:
        with pytest.raises(LabError, match="3 of 4 came"):
            await fail(lab, None, seconds=0.01, change=lambda: None)


async def test_nodes_that_really_stood_still_say_so() -> None:
    async def stand_still(lab: Lab) -> None:
        async with undisturbed(lab, 60, lambda: "some came"):
            try:
                for pid in lab.pids[:2]:
                    os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(STANDS)
            finally:
                for pid in lab.pids[:2]:
                    os.kill(pid, signal.SIGCONT)
            while not (await lab.stats())["cluster"]["lapses"]:
                await asyncio.sleep(0.01)
            raise NotConnected("what was on its way is lost")

    async with Lab(nodes=2, broker="nats") as lab:
        with pytest.raises(MachineBusy):
            await stand_still(lab)
