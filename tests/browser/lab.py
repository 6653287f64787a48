"""The browser harness, and where this checkout keeps its pictures."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from playwright.async_api import Error, Page

from rtlab.notebook.run_notebook_in_headless_jupyterlab import (
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
    "is_jupyterlabs_own",
    "load",
    "open_browser",
    "open_notebook",
    "open_page",
    "readable_in_dark",
    "run_all",
    "screenshot",
    "set_theme",
]

#: What the fixture `page_of` gives: a page in which a JupyterLab is, or will be, loaded.
PageOf = Callable[[JupyterLab], Awaitable[Page]]
ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = Path(os.environ.get("RTLAB_ARTEFACTS", ROOT / "artefacts"))

#: Whether each text of a panel stands out from a dark ground: WCAG 2.2 asks for a contrast of 4.5 (§1.4.3).
_READABLE = """(selector) => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = channels(color).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (el) => {
    const color = getComputedStyle(el).backgroundColor;
    return (channels(color)[3] ?? 1) > 0.5 || !el.parentElement ? color : ground(el.parentElement);
  };
  const kinds = "td, th, label, button, output, h4, li, summary";
  const texts = [...document.querySelectorAll(`${selector} :is(${kinds})`)];
  const shown = texts.filter((el) => el.innerText.trim() && el.offsetHeight && !el.disabled);
  return shown.length > 2 && shown.every((el) => {
    const [front, back] = [light(getComputedStyle(el).color), light(ground(el))];
    return back < 0.1 && (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05) >= 4.5;
  });
}"""


def home_of(folder: Path) -> Path:
    """Make a folder the home of a JupyterLab: kernels as in `tests.warm_start`, ports of `kernel_ports`."""
    config = folder / "config" / "jupyter_server_config.py"
    config.parent.mkdir()
    config.write_text(
        f"import sys\nsys.path.append({str(ROOT)!r})\n"
        "from tests import kernel_ports, warm_start\n"
        "kernel_ports.give_to_jupyterlab()\nwarm_start.install()\nwarm_start.prepare('kernels')\n"
    )
    return folder


async def screenshot(page: Page, name: str, selector: str | None = None) -> Path:
    """Keep a picture among the artefacts."""
    path = ARTEFACTS / f"{name}.png"
    target = page.locator(selector).first if selector else page
    await target.screenshot(path=path)  # makes the folder too
    return path


async def readable_in_dark(page: Page, selector: str) -> None:
    """Wait until each text of a panel is readable in the dark theme; a control that is disabled is exempt."""
    await page.wait_for_function(_READABLE, arg=selector)


def is_jupyterlabs_own(error: Error) -> bool:
    """Whether a page's error is no matter of ours.

    A notebook that was replaced in the page still looks for its cells when the page is idle, and has none.
    And where a widget's kernel ends before it has answered the request for a subshell, which its manager
    sends for the widget's comm, nobody has taken that promise's error.
    """
    subshell = "Canceled future for create_subshell_request" in error.message
    return subshell or "_runOnIdleTime" in (error.stack or "")
