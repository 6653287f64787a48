"""Every notebook in a real JupyterLab: Run All, no error, a plot that moves, a button that is obeyed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.lab import ROOT, JupyterLab, canvas_states, chromium, open_page, run_all, screenshot
from tests.notebook_rules import MAP

pytestmark = pytest.mark.timeout(300)

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
#: Long enough for the first plot to be watched, short enough for all notebooks.
PACE = "0.6"
#: Seconds from opening the first notebook to its live plot, the kernel's start included.
FIRST_PLOT = 30.0

#: Pictures that a moving canvas shows: ten a second, and the shortest first run takes 2.4 s at this pace.
MOVES = 12


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A JupyterLab on a copy of the notebooks, all cells of a notebook in the page at once."""
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    home = tmp_path_factory.mktemp("notebooks")
    shutil.copytree(ROOT / "notebooks", home / "work", ignore=shutil.ignore_patterns(".*"))
    settings = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "RTLAB_PACE", PACE)
        with JupyterLab(home, settings) as running:
            yield running


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
async def test_a_notebook_runs_and_its_plot_lives(path: Path, jupyter: JupyterLab, browser: Browser) -> None:
    async with open_page(browser) as page:
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        opened = time.monotonic()
        run = await run_all(page, jupyter, path.name)

        plot = page.locator(".rtlab-plot").first
        await plot.wait_for(state="attached", timeout=60_000)
        if path.name == MAP:  # it usually takes a quarter of that
            assert time.monotonic() - opened < FIRST_PLOT
        await plot.scroll_into_view_if_needed()
        assert len(await canvas_states(page, ".rtlab-canvas", MOVES, timeout=60)) >= MOVES
        await screenshot(page, f"notebook-{path.stem}")

        await plot.get_by_role("button", name="Pause", exact=True).click()
        await plot.locator(".rtlab-status", has_text="paused").wait_for(timeout=10_000)
        await plot.get_by_role("button", name="Resume", exact=True).click()

        await run.wait(timeout=180)
        assert await run.errors() == []
        assert complaints == []
