"""Every published window is kept to its edge by a lab with the same setting, and broken one beyond."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from rtlab.experiments.recovery_windows_of_other_systems import WINDOWS, RecoveryWindow, try_window
from rtlab.lab.lab_options_as_server_arguments import ServerOptions, as_arguments


async def test_each_promise_is_kept_to_its_edge_and_broken_one_message_beyond() -> None:
    trials = await asyncio.gather(*(try_window(window) for window in WINDOWS.values()))
    assert {trial.system: (trial.inside, trial.beyond) for trial in trials} == dict.fromkeys(
        WINDOWS, (True, False)
    )


class Shorter(RecoveryWindow):
    """A window whose lab keeps a session for a twentieth of it only."""

    def settings(self, scale: float = 1.0) -> ServerOptions:
        options = super().settings(scale)
        return {**options, "session_ttl": self.amount * scale / 20}


async def test_a_window_in_seconds_is_tried_by_a_client_that_is_away_for_long() -> None:
    shorter = Shorter(**msgspec.structs.asdict(WINDOWS["Ably"]))
    assert not (await try_window(shorter)).inside


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_each_has_its_source_and_its_settings(window) -> None:
    assert window.source.startswith("https://")
    assert str(window.amount) in " ".join(as_arguments(window.settings()))
