"""The browser harness, and where this checkout keeps its pictures."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Page

from rtlab.notebook.browser import (
    JupyterLab,
    Run,
    canvas_states,
    chromium,
    load,
    open_browser,
    open_notebook,
    open_page,
    run_all,
    set_theme,
)

__all__ = [
    "ARTEFACTS",
    "ROOT",
    "JupyterLab",
    "PageOf",
    "Run",
    "canvas_states",
    "chromium",
    "home_of",
    "load",
    "open_browser",
    "open_notebook",
    "open_page",
    "run_all",
    "screenshot",
    "set_theme",
]

#: What the fixture `page_of` gives: a page in which a JupyterLab is, or will be, loaded.
PageOf = Callable[[JupyterLab], Awaitable[Page]]
ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = Path(os.environ.get("RTLAB_ARTEFACTS", ROOT / "artefacts"))


def home_of(folder: Path) -> Path:
    """Make a folder the home of a JupyterLab whose kernels start as `tests.warm_start` says."""
    config = folder / "config" / "jupyter_server_config.py"
    config.parent.mkdir()
    config.write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\n"
        "from tests import warm_start\nwarm_start.install()\nwarm_start.prepare('kernels')\n"
    )
    return folder


async def screenshot(page: Page, name: str, selector: str | None = None) -> Path:
    """Keep a picture among the artefacts."""
    path = ARTEFACTS / f"{name}.png"
    target = page.locator(selector).first if selector else page
    await target.screenshot(path=path)  # makes the folder too
    return path
