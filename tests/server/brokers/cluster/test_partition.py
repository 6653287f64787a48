"""A node is cut off from the broker: in a real network where the machine has one, else by the fault proxy."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.server.brokers.cluster.partition import PATIENCE, WHERE

_CABLE = (*WHERE, "ip", "link", "add", "outer", "type", "veth", "peer", "name", "inner")


def why_no_namespace() -> str:
    """Return why this machine gives a test no network of its own; empty when it does."""
    try:
        tried = subprocess.run(_CABLE, capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError as error:
        return str(error)
    return "" if tried.returncode == 0 else tried.stderr.strip() or f"exit code {tried.returncode}"


def test_a_node_that_is_cut_off_is_followed_and_comes_back_and_nothing_acknowledged_is_lost() -> None:
    why_not = why_no_namespace()
    way = "proxy" if why_not else "namespace"
    print("cut off by", f"the fault proxy: {why_not}" if why_not else "the cable of a network namespace")
    program = (sys.executable, "-m", "tests.server.brokers.cluster.partition", way)
    command = program if why_not else (*WHERE, *program)
    seen = json.loads(
        subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=4 * PATIENCE).stdout
    )

    assert seen["during"][0] > seen["before"][0], "who was left has taken over, in a new epoch"
    assert any("cut off" in reason for reason in seen["nodes"]["node-3"]["refused"])
    for name, account in seen["nodes"].items():
        places = [(epoch, offset) for epoch, offset, _ in account["got"]]
        assert places == sorted(set(places)), f"{name}: nothing twice, nothing of an ended epoch"
        assert account["resyncs"] >= 1, f"{name} was told of the new epoch"
    got = [tuple(one) for one in seen["nodes"]["node-2"]["got"]]
    acked = [tuple(one) for account in seen["nodes"].values() for one in account["acked"]]
    assert set(acked) <= set(got), "whoever was told that it is published: those who were not cut off have it"
    assert "end" in [text for _, _, text in seen["nodes"]["node-3"]["got"]]
