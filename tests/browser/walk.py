"""A reader at the keyboard: opens a notebook in JupyterLab, and presses Shift+Enter, cell after cell."""

from __future__ import annotations

from typing import Any, Final

from playwright.async_api import Page

from tests.browser.lab import JupyterLab, open_notebook
from tests.refusals import Refusals

__all__ = ["Notebook"]

_DONE: Final = """(place) => {
    const { model } = rtlabPanel.content.widgets[place];
    return model.executionState === "idle" && model.executionCount !== null;
}"""
_CLOSE: Final = """async () => {
    await rtlabPanel.sessionContext.shutdown();
    rtlabPanel.context.model.dirty = false;
    rtlabPanel.close();
}"""
#: Notes, five times a second, how much can be seen of each plot whose count of samples grows, and of
#: the fault panels beside it. The observer knows what clips an element; its answer takes a frame.
_LOOK: Final = """() => {
    const found = (globalThis.rtlabSeen = []);
    const counts = new WeakMap();
    const share = (element) => new Promise((done) => {
        const observer = new IntersectionObserver(([entry]) => {
            observer.disconnect();
            done(entry.intersectionRatio);
        });
        observer.observe(element);
    });
    const look = async () => {
        for (const plot of document.querySelectorAll(".rtlab-plot")) {
            const status = plot.querySelector(".rtlab-status")?.textContent ?? "";
            const before = counts.get(plot);
            counts.set(plot, status);
            if (before === undefined || before === status || !status.startsWith("running")) continue;
            const panels = plot.closest(".jp-OutputArea").querySelectorAll(".rtlab-faults");
            for (const element of [plot, ...panels])
                found.push([element.getAttribute("aria-label"), await share(element)]);
        }
        if (found === globalThis.rtlabSeen) setTimeout(look, 200);
    };
    look();
}"""


class Notebook:
    """A notebook that is open in a page.

    Attributes
    ----------
    kinds : list of str
        ``"code"``, ``"markdown"`` or ``"raw"``, for each cell.
    """

    def __init__(self, page: Page, kinds: list[str]) -> None:
        self.page = page
        self.kinds = kinds

    @classmethod
    async def open(cls, page: Page, lab: JupyterLab, path: str) -> Notebook:
        """Open it in place of whatever was open, with a kernel that is ready and its first cell active."""
        await open_notebook(page, lab, path)
        await page.evaluate(_LOOK)
        opened = cls(page, await page.evaluate("rtlabPanel.content.widgets.map((cell) => cell.model.type)"))
        first = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").first
        await first.click(position={"x": 150, "y": 10})
        return opened

    async def step(self, place: int, *, timeout: float = 120.0) -> None:
        """Press Shift+Enter on a cell, the active one, and wait until it has run."""
        await self.page.keyboard.press("Shift+Enter")
        if self.kinds[place] == "code":
            # Not at each frame, which is the default: the browser would have to make sixty a second.
            await self.page.wait_for_function(_DONE, arg=place, timeout=timeout * 1e3, polling=50)

    async def seen(self) -> dict[str, list[float]]:
        """Return which share of each live plot and fault panel could be seen, moment by moment."""
        found: dict[str, list[float]] = {}
        for name, share in await self.page.evaluate("rtlabSeen"):
            found.setdefault(name, []).append(share)
        return found

    async def errors(self) -> list[str]:
        """Return every error that no busy machine excuses, and everything printed to stderr."""
        found: list[str] = []
        refusals = Refusals()
        for cell in (await self.page.evaluate("rtlabPanel.content.model.sharedModel.toJSON()"))["cells"]:
            outputs: list[dict[str, Any]] = cell.get("outputs", [])
            source = "".join(cell["source"])
            for output in outputs:
                if output["output_type"] == "error":
                    name, said = output["ename"], output["evalue"]
                    found += [] if refusals.excuse(source, name, said) else [f"{name}: {said}"]
                elif output.get("name") == "stderr":
                    found.append("".join(output["text"]))
        return found

    async def close(self) -> None:
        """End its kernel, and close it."""
        await self.page.evaluate(_CLOSE)
