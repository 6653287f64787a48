"""What the panel reads from a proxy: sums of delays, profiles, and words for the rest."""

from __future__ import annotations

import pytest

from rtlab.faults.network_profiles import load_profiles
from rtlab.widgets.panels.active_faults_description import NOTHING, describe_faults, state_of

PROFILES = load_profiles()


def toxic(kind: str, stream: str, **attributes: float) -> dict[str, object]:
    return {"type": kind, "name": f"{kind}_{stream}", "stream": stream, "attributes": attributes}


def test_nothing_is_in_the_way():
    state = state_of({"enabled": True, "toxics": []}, PROFILES)
    assert state == NOTHING
    assert describe_faults(state) == "nothing is in the way"


@pytest.mark.parametrize("name", PROFILES)
def test_each_profile_is_known_again(name: str):
    state = state_of({"enabled": True, "toxics": PROFILES[name].toxics()}, PROFILES)
    assert state == {**NOTHING, "profile": name}


def test_a_profile_with_something_on_top_is_none():
    toxics = [*PROFILES["3g"].toxics(), toxic("latency", "downstream", latency=10, jitter=2)]
    state = state_of({"enabled": True, "toxics": toxics}, PROFILES)
    assert state["profile"] == ""
    assert (state["rtt"], state["jitter"]) == (PROFILES["3g"].rtt_ms + 10, 2)
    assert state["others"] == ["bandwidth upstream", "bandwidth downstream"]


def test_half_a_cable_is_not_pulled():
    half = state_of({"enabled": True, "toxics": [toxic("blackhole", "upstream")]}, PROFILES)
    assert (half["pulled"], describe_faults(half)) == (False, "blackhole upstream")
    both = [toxic("stall", "upstream"), toxic("stall", "downstream")]
    assert state_of({"enabled": True, "toxics": both}, PROFILES)["pulled"]


def test_a_server_that_is_down_is_named():
    assert "refused" in describe_faults(state_of({"enabled": False, "toxics": []}, PROFILES))
