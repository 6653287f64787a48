"""A reader at the keyboard: opens a notebook in JupyterLab, and presses Shift+Enter, cell after cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page

from tests.browser.lab import JupyterLab

__all__ = ["Notebook", "open_lab"]

_OPEN: Final = """async (path) => {
    for (const widget of [...jupyterapp.shell.widgets("main")]) {
        if (widget.context) widget.context.model.dirty = false;
        widget.close();
    }
    const panel = await jupyterapp.commands.execute("docmanager:open", { path, factory: "Notebook" });
    globalThis.rtlabPanel = panel;
    await panel.context.ready;
    const kernel = () => panel.sessionContext.session?.kernel;
    while (!(kernel()?.connectionStatus === "connected" && kernel().status === "idle"))
        await new Promise((done) => setTimeout(done, 30));
    jupyterapp.shell.activateById(panel.id);
    panel.content.activeCellIndex = 0;
    globalThis.rtlabSeen = [];
    return panel.content.widgets.map((cell) => cell.model.type);
}"""
_DONE: Final = """(place) => {
    const { model } = rtlabPanel.content.widgets[place];
    return model.executionState === "idle" && model.executionCount !== null;
}"""
_CLOSE: Final = """async () => {
    await rtlabPanel.sessionContext.shutdown();
    rtlabPanel.context.model.dirty = false;
    rtlabPanel.close();
}"""
#: Notes, ten times a second, how much can be seen of each plot whose count of samples grows, and of
#: the fault panels beside it. The observer knows what clips an element; its answer takes a frame.
_LOOK: Final = """() => {
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
                rtlabSeen.push([element.getAttribute("aria-label"), await share(element)]);
        }
        setTimeout(look, 100);
    };
    look();
}"""


async def open_lab(page: Page, lab: JupyterLab) -> None:
    """Open JupyterLab, and begin to note what can be seen of live plots."""
    await page.goto(lab.url("").replace("/lab/tree/", "/lab"), timeout=90_000)
    await page.wait_for_function("globalThis.jupyterapp?.restored", timeout=90_000)
    await page.evaluate("jupyterapp.restored")
    await page.evaluate("globalThis.rtlabSeen = []")
    await page.evaluate(_LOOK)


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
    async def open(cls, page: Page, path: str) -> Notebook:
        """Open it in place of whatever was open, with a kernel that is ready and its first cell active."""
        opened = cls(page, await page.evaluate(_OPEN, Path(path).name))
        first = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell").first
        await first.click(position={"x": 150, "y": 10})
        return opened

    async def step(self, place: int, *, timeout: float = 120.0) -> None:
        """Press Shift+Enter on a cell, the active one, and wait until it has run."""
        await self.page.keyboard.press("Shift+Enter")
        if self.kinds[place] == "code":
            await self.page.wait_for_function(_DONE, arg=place, timeout=timeout * 1e3)

    async def seen(self) -> dict[str, list[float]]:
        """Return which share of each live plot and fault panel could be seen, moment by moment."""
        found: dict[str, list[float]] = {}
        for name, share in await self.page.evaluate("rtlabSeen"):
            found.setdefault(name, []).append(share)
        return found

    async def errors(self) -> list[str]:
        """Return every error, and everything printed to stderr."""
        cells = (await self.page.evaluate("rtlabPanel.content.model.sharedModel.toJSON()"))["cells"]
        outputs: list[dict[str, Any]] = [output for cell in cells for output in cell.get("outputs", [])]
        errors = [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]
        return errors + ["".join(o["text"]) for o in outputs if o.get("name") == "stderr"]

    async def close(self) -> None:
        """End its kernel, and close it."""
        await self.page.evaluate(_CLOSE)
