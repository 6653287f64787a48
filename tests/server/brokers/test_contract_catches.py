"""The contract's own test: eight faulty brokers, each of which it has to catch; and an honest one."""

from __future__ import annotations

import pytest

from rtlab.server.brokers.drivers.in_memory_reference import MemoryDriver
from tests.server.brokers import bench as bench_module
from tests.server.brokers.bench import Bench
from tests.server.brokers.contract import CHECKS
from tests.server.brokers.faulty_drivers import FAULTY


@pytest.mark.parametrize("faulty", FAULTY, ids=lambda kind: kind.__name__)
async def test_a_faulty_broker_is_caught(faulty: type[MemoryDriver], monkeypatch: pytest.MonkeyPatch):
    check = CHECKS[FAULTY[faulty]]
    async with Bench(lambda _, limits: MemoryDriver(faulty.__name__, limits)) as honest:
        await check(honest)
    monkeypatch.setattr(bench_module, "PATIENCE", 0.5)  # it waits for what never comes
    async with Bench(lambda _, limits: faulty(faulty.__name__, limits)) as bench:
        with pytest.raises((AssertionError, TimeoutError)):
            await check(bench)


def test_there_are_enough_laws():
    assert len(CHECKS) >= 25
    assert len(FAULTY) == 8
