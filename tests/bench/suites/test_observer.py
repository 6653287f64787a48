"""The observer benchmark, once around, in a real JupyterLab."""

from __future__ import annotations

import pytest

from rtlab.bench.suites.observer import measure
from rtlab.notebook.run_notebook_in_headless_jupyterlab import chromium


@pytest.mark.timeout(600)
@pytest.mark.skipif(chromium() is None, reason="no Chromium: install the chromium package")
async def test_the_ways_of_watching_take_turns():
    """Briefly: the numbers say nothing here, the way they come about does."""
    phases = await measure(seconds=0.2, repeats=2)
    assert [phase.name for phase in phases] == ["nothing", "live plot", "matplotlib"] * 2
    assert all(phase.cpu_percent > 0 for phase in phases)
