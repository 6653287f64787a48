"""Every published window is kept to its edge by a lab with the same setting, and broken one beyond."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.experiments.recovery_windows_of_other_systems import WINDOWS, try_window
from rtlab.lab.lab_options_as_server_arguments import as_arguments


async def test_each_promise_is_kept_to_its_edge_and_broken_one_message_beyond() -> None:
    trials = await asyncio.gather(*(try_window(window) for window in WINDOWS.values()))
    assert {trial.system: (trial.inside, trial.beyond) for trial in trials} == dict.fromkeys(
        WINDOWS, (True, False)
    )


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_each_has_its_source_and_its_settings(window) -> None:
    assert window.source.startswith("https://")
    assert str(window.amount) in " ".join(as_arguments(window.settings()))
