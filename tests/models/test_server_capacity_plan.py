"""The plan is arithmetic: doubled clients, doubled needs; the larger need decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtlab.models.server_capacity_plan import Costs, Workload, capacity_plan

ONE = Costs(
    base_bytes=5e7,
    connection_bytes=2e4,
    kernel_bytes=4e3,
    delivery_seconds=1e-5,
    connect_seconds=5e-4,
    heartbeat_seconds=2e-5,
)


def test_what_grows_with_the_clients() -> None:
    one, two = (capacity_plan(ONE, Workload(clients=n)) for n in (1e6, 2e6))
    assert two.cores == pytest.approx(2 * one.cores)
    assert two.kernel_bytes == 2 * one.kernel_bytes
    assert two.connects_per_second == pytest.approx(2e6 / 600)
    assert one.memory_bytes == 1e6 * 2e4 + one.nodes * 5e7


def test_the_larger_need_decides() -> None:
    assert capacity_plan(ONE, Workload()).limit == "memory"
    busy = capacity_plan(ONE, Workload(deliveries=10.0))
    assert (busy.limit, busy.nodes) == ("CPU", 204)
    assert capacity_plan(replace(ONE, base_bytes=0.0), Workload(clients=1)).nodes == 1


def test_a_node_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="room for a client"):
        capacity_plan(ONE, Workload(node_bytes=1e7))
