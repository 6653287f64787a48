"""Without HAProxy an experiment is shown as it was recorded; without a record, it says what to do."""

from __future__ import annotations

import pytest

from rtlab.errors import LabError
from rtlab.experiments.balancing.node_by_key import join_moves
from rtlab.experiments.balancing.real_rolling_restart import real_rolling_restart
from rtlab.experiments.balancing.recorded_haproxy_results import BalancedRuns
from rtlab.lab.haproxy_load_balancer import Balancer
from rtlab.lab.lab import Lab


async def test_what_is_not_installed_is_shown_as_recorded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Balancer, "installed", staticmethod(lambda: False))
    balanced, lab = BalancedRuns(), Lab(nodes=3)
    assert balanced.kind == "recorded"
    run = await balanced(real_rolling_restart, lab, "round_robin", clients=30, stop_window=0.5)
    assert run.per_client == pytest.approx(1.58, abs=0.1)
    assert "apt install haproxy" in capsys.readouterr().out
    moved = await balanced(join_moves, lab, "modulo_hash", ["a", "b"])
    assert moved.share > 0.5
    with pytest.raises(LabError, match="apt install haproxy"):
        await balanced(join_moves, lab, "random")


async def test_what_is_installed_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Balancer, "installed", staticmethod(lambda: True))

    async def answer(question: str) -> int:
        return 42

    balanced = BalancedRuns()
    assert (balanced.kind, await balanced(answer, "which")) == ("measured", 42)
