from __future__ import annotations

import os

import pytest

from rtlab.errors import RtlabError
from rtlab.experiments.tcp_timeouts_in_network_namespaces import CASES, record_dead_path, recorded_dead_path
from rtlab.models.detection_time_distribution import tcp_retransmission_time


def test_the_recorded_run_has_every_case_and_agrees_with_the_laws() -> None:
    seconds, found = recorded_dead_path()
    assert list(found) == list(CASES)
    assert {name for name, case in found.items() if case.ended is None} == {
        "only listens",
        "only listens, TCP_USER_TIMEOUT 20 s",
    }
    assert found["has sent"].ended == pytest.approx(tcp_retransmission_time(), rel=0.05)
    assert seconds > 925


def test_root_can_record_it_again() -> None:
    if os.geteuid() != 0:
        with pytest.raises(RtlabError, match="only root"):
            record_dead_path(1.0)
        return
    cases = record_dead_path(1.0)
    assert [case.name for case in cases] == list(CASES)
    by_name = {case.name: case for case in cases}
    assert by_name["only listens"].segments == ()
    repeats = [segment.t for segment in by_name["has sent"].segments if segment.kind == "data"]
    assert len(repeats) >= 3  # at 0, 0.2 and 0.4 s
    assert all(case.ended is None for case in cases)
