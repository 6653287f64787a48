"""Which losses a death's row calls silent; the faults themselves are in `test_breakable_cluster`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rtlab.experiments.cluster.node_death_losses import _Flow, death_table


async def test_one_resync_does_not_hide_a_loss_elsewhere() -> None:
    cluster: Any = SimpleNamespace(
        ws_urls=["ws://127.0.0.1:9/ws"] * 2,
        broker=SimpleNamespace(kind="nats"),
        room=lambda prefix: f"{prefix}-room",
    )
    flow = _Flow(cluster, "at_most_once", "kill -9 of the owner")
    for _ in range(6):
        flow._sent.append(0.0)
        flow._ledger.ok(flow._ledger.stamp(flow.mode))
    for number in (0, 1, None, 3, 5):  # 2 is lost at a resync, 4 without one
        if number is None:
            flow._missed(None)
        else:
            flow._arrived(SimpleNamespace(payload=number))
    row = flow.row(broken_at=-1.0)
    assert (row.resyncs, row.lost, row.silent_loss) == (1, 2, 1)
    assert list(death_table([row])["silent_loss"]) == [1]
