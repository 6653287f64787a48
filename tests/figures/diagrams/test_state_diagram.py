"""The drawing of the states shows its table: every arrow, and no other."""

from __future__ import annotations

from matplotlib.patches import FancyArrowPatch

from rtlab.figures.diagrams.state_diagram import state_figure
from rtlab.policies.state_machine_types import State
from rtlab.policies.state_transition_table import TABLE


def test_there_is_one_arrow_for_each_pair_of_states():
    axes = state_figure().axes[0]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    pairs = {(row.state, row.then) for row in TABLE if row.state is not row.then}
    assert len(arrows) == len(pairs)


def test_every_state_and_every_event_is_named():
    words = " ".join(text.get_text() for text in state_figure().axes[0].texts)
    for name in [state.value for state in State] + [row.event.__name__ for row in TABLE]:
        assert name in words


def test_an_event_that_leads_to_two_states_says_when():
    words = " ".join(" ".join(text.get_text().split()) for text in state_figure().axes[0].texts)
    for row in TABLE:
        leads_to = {other.then for other in TABLE if (other.state, other.event) == (row.state, row.event)}
        if len(leads_to) > 1 and row.label:
            assert f"{row.event.__name__} [{row.label}]" in words
