"""Every notebook in a real JupyterLab, read as a person does: Shift+Enter, cell after cell.

No cell fails, a plot moves and its buttons are obeyed, and every plot can be seen while it is live. Three
notebooks are walked to their end, the others to the last cell that shows something live: what is behind it
runs in nbval and under the hostile reader. ``RTLAB_WALK=whole`` walks all of them to the end.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from playwright.async_api import Error, Page, ViewportSize

from rtlab.notebook.strip_outputs_and_hash_source import clean
from tests.browser.lab import (
    ROOT,
    JupyterLab,
    chromium,
    home_of,
    is_jupyterlabs_own,
    load,
    open_browser,
    open_page,
    screenshot,
)
from tests.browser.walk import Notebook, Seen
from tests.notebook_rules import MAP

T = TypeVar("T")

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
#: Long enough for the first plot to be watched, short enough for all notebooks.
PACE = "0.3"
#: Notebooks that are open at the same time: their cells mostly wait, and what judges time is in nbval's run.
TOGETHER = 4
#: Seconds from opening the first notebook to its live plot, the kernel's start included.
FIRST_PLOT = 60.0
#: The share of a live plot's area that lies within the window.
SEEN = 0.8
#: What moves while a cell runs: made here, or a plot's run.
LIVE = re.compile(
    r"\b(LatencyPlot|FaultPanel|StreamPlayground|BatchingExplorer|ChatPanel|QueuePanel|RoomsPanel|MetricsBoard"
    r"|WireTimeline|ConnectionInspector)\(|async with [^:\n]*plot"
)
#: The notebooks that show a board of metrics, which cannot be paused, and no plot.
BOARDS = ("18_monitoring",)
WHOLE = ("00_start_here", "02_websocket", "10_rooms_and_presence")
#: Nothing fades or turns by itself: a sixth of the browser's work.
STILL = "*, *::before, *::after { animation: none !important; transition: none !important; }"
#: The editors' cursors do not blink: that kept the browser drawing while the cells wait.
STEADY = {"@jupyterlab/codemirror-extension:plugin": {"defaultConfig": {"cursorBlinkRate": 0}}}
LARGE, SMALL = ViewportSize(width=1400, height=1000), ViewportSize(width=1000, height=700)
ON_SMALL = ("00_start_here", "08_heartbeats_and_breakers")

#: The notebooks whose live plots are out of sight. The lists only shrink.
EXCUSED = frozenset[str]()
EXCUSED_ON_SMALL = frozenset[str]()


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    """A JupyterLab on a copy of the notebooks, without outputs, as a reader gets them."""
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    home = home_of(tmp_path_factory.mktemp("notebooks"))
    (home / "work").mkdir()
    for path in NOTEBOOKS:
        (home / "work" / path.name).write_bytes(clean(path.read_bytes()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "RTLAB_PACE", PACE)
        patch.setitem(os.environ, "PYTHONSTARTUP", str(Path(__file__).with_name("patient_kernel.py")))
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        with JupyterLab(home, STEADY) as running:
            yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(jupyter: JupyterLab) -> AsyncIterator[asyncio.Queue[Page]]:
    """Pages that share a browser, for one notebook after the other: loading JupyterLab takes long."""
    async with AsyncExitStack() as stack:
        free = asyncio.Queue[Page]()
        browser = await stack.enter_async_context(open_browser())
        opened = [await stack.enter_async_context(open_page(browser)) for _ in range(TOGETHER)]
        await asyncio.gather(*(load(page, jupyter) for page in opened))
        await asyncio.gather(*(page.add_style_tag(content=STILL) for page in opened))
        for page in opened:
            free.put_nowait(page)
        yield free


@dataclass
class Walks:
    """Those that are asked for, under way a few at a time."""

    whole: dict[Path, asyncio.Task[Walk]]
    small: dict[str, asyncio.Task[dict[str, list[float]]]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def walks(
    request: pytest.FixtureRequest, jupyter: JupyterLab, pages: asyncio.Queue[Page]
) -> AsyncIterator[Walks]:
    """Every notebook that is asked for: from top to bottom, or to its first plot in a small window."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = [item.callspec.params for item in items if "walks" in item.fixturenames]

    async def in_turn(walked: Callable[[Page, JupyterLab, Path], Awaitable[T]], path: Path) -> T:
        page = await pages.get()
        try:
            return await walked(page, jupyter, path)
        finally:
            pages.put_nowait(page)

    under_way = Walks(
        {
            params["path"]: asyncio.create_task(in_turn(walk, params["path"]))
            for params in asked
            if "path" in params
        },
        {
            params["name"]: asyncio.create_task(in_turn(to_first_plot, Path(f"{params['name']}.ipynb")))
            for params in asked
            if "name" in params
        },
    )
    yield under_way
    tasks = [*under_way.whole.values(), *under_way.small.values()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def out_of_sight(seen: dict[str, list[float]]) -> list[str]:
    """Return the plots and panels of which too little could be seen; they have a moment to be laid out."""
    return [
        f"{name!r}: {min(shares):.0%} seen, {len(shares)} looks"
        for name, shares in seen.items()
        if min(shares[1:] or shares) < SEEN
    ]


@dataclass
class Walk:
    """What was noted on the way through a notebook."""

    first_plot: float  # seconds from opening it
    complaints: list[str]  # of the page
    errors: list[str]  # of the cells
    seen: Seen


def last_step(path: Path) -> int:
    """Return how many cells to walk: all, or to the last one that shows something live."""
    cells: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cells"]
    live = [
        place
        for place, cell in enumerate(cells)
        if cell["cell_type"] == "code" and LIVE.search("".join(cell["source"]))
    ]
    whole = path.stem in WHOLE or os.environ.get("RTLAB_WALK") == "whole" or not live
    return len(cells) if whole else live[-1] + 1


async def walk(page: Page, jupyter: JupyterLab, path: Path) -> Walk:
    """Press Shift+Enter from the first cell on; keep a picture of the first plot when it has run."""
    complaints: list[str] = []

    def complain(error: Error) -> None:
        if not is_jupyterlabs_own(error):
            complaints.append(str(error))

    page.on("pageerror", complain)
    await page.set_viewport_size(LARGE)
    began = time.monotonic()
    notebook = await Notebook.open(page, jupyter, path.name)
    opened = time.monotonic() - began
    kept = False
    for place in range(last_step(path)):
        await notebook.step(place)
        if not kept and (await notebook.seen()).moved:
            await screenshot(page, f"notebook-{path.stem}")
            kept = True
    page.remove_listener("pageerror", complain)
    errors, seen = await notebook.errors(), await notebook.seen()
    await notebook.close()
    return Walk(opened + (seen.first or math.inf), complaints, errors, seen)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
async def test_a_notebook_runs_and_its_live_plots_are_in_sight(path: Path, walks: Walks) -> None:
    found = await walks.whole[path]
    if path.name == MAP:  # it usually takes a quarter of that; two others run beside it
        assert found.first_plot < FIRST_PLOT
    assert found.complaints == []
    assert found.errors == []
    assert found.seen.moved, f"no plot moved: {found.seen.pictures} pictures"
    assert (found.seen.paused, found.seen.resumed) == (path.stem not in BOARDS,) * 2
    assert found.seen.shares
    hidden = out_of_sight(found.seen.shares)
    if path.stem in EXCUSED:
        assert hidden, f"all is in sight in {path.stem} now: take it out of EXCUSED"
    else:
        assert hidden == []


async def to_first_plot(page: Page, jupyter: JupyterLab, path: Path) -> dict[str, list[float]]:
    """Press Shift+Enter in a small window until a plot has run; return how much could be seen."""
    await page.set_viewport_size(SMALL)
    notebook = await Notebook.open(page, jupyter, path.name)
    shares: dict[str, list[float]] = {}
    for place in range(len(notebook.kinds)):
        await notebook.step(place)
        if shares := (await notebook.seen()).shares:
            break
    await notebook.close()
    return shares


@pytest.mark.parametrize("name", ON_SMALL)
async def test_the_first_live_plot_is_in_sight_in_a_small_window(name: str, walks: Walks) -> None:
    shares = await walks.small[name]
    assert shares
    hidden = out_of_sight(shares)
    if name in EXCUSED_ON_SMALL:
        assert hidden, f"all is in sight in {name} now: take it out of EXCUSED_ON_SMALL"
    else:
        assert hidden == []
