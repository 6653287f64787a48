"""A reader at the keyboard: opens a notebook in JupyterLab, and presses Shift+Enter, cell after cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from playwright.async_api import Page

from tests.browser.lab import JupyterLab, open_notebook
from tests.refusals import Refusals

__all__ = ["Notebook", "Seen"]

_DONE: Final = """(place) => {
    const { model } = rtlabPanel.content.widgets[place];
    return model.executionState === "idle" && model.executionCount !== null;
}"""
_CLOSE: Final = """async () => {
    await rtlabPanel.sessionContext.shutdown();
    rtlabPanel.context.model.dirty = false;
    rtlabPanel.close();
}"""
#: Looks five times a second at each plot, and each board of metrics, that runs. Counts its pictures, until
#: one has shown enough of them, and presses that one's Pause and Resume. When it has moved, or its count of
#: samples has grown, notes how much can be seen of it, and of the fault panels beside it: the observer knows
#: what clips an element; its answer takes a frame.
_LOOK: Final = """(enough) => {
    const found = (globalThis.rtlabSeen = { shares: [], pictures: 0, first: null });
    const counts = new WeakMap();
    const shown = new WeakMap();
    const began = performance.now();
    const share = (element) => new Promise((done) => {
        const observer = new IntersectionObserver(([entry]) => {
            observer.disconnect();
            done(entry.intersectionRatio);
        });
        observer.observe(element);
    });
    const picture = (canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Uint32Array(data.buffer).reduce((hash, pixel) => Math.imul(hash ^ pixel, 16777619), 0);
    };
    const said = (plot) => plot.querySelector(".rtlab-status")?.textContent ?? "";
    const button = (plot, name) =>
        [...plot.querySelectorAll("button")].find((button) => button.textContent === name);
    const isBoard = (plot) => plot.matches(".rtlab-board");
    const runs = (plot) => isBoard(plot) ? !button(plot, "Stop").disabled : said(plot).startsWith("running");
    const count = (plot) =>
        isBoard(plot) ? plot.querySelector("canvas").getAttribute("aria-label") : said(plot);
    const watch = (plot) => {
        const canvas = plot.querySelector("canvas");
        if (!shown.has(plot)) shown.set(plot, new Set());
        const pictures = shown.get(plot);
        const before = pictures.size;
        pictures.add(picture(canvas));
        found.pictures = Math.max(found.pictures, pictures.size);
        const moved = before > 0 && pictures.size > before;
        if (pictures.size < enough || isBoard(plot)) return moved;
        button(plot, "Pause").click();
        found.paused = said(plot).startsWith("paused");
        button(plot, "Resume").click();
        found.resumed = said(plot).startsWith("running");
        return moved;
    };
    const look = async () => {
        for (const plot of document.querySelectorAll(".rtlab-plot, .rtlab-board")) {
            found.first ??= (performance.now() - began) / 1e3;
            const status = count(plot);
            const before = counts.get(plot);
            counts.set(plot, status);
            if (!runs(plot)) continue;
            const moved = found.pictures < enough && watch(plot);
            if (!moved && (before === undefined || before === status)) continue;
            const panels = plot.closest(".jp-OutputArea").querySelectorAll(".rtlab-faults");
            for (const element of [plot, ...panels]) {
                const seen = await share(element);
                if (!runs(plot)) break; // its cell has ended meanwhile: the reader is at the next one
                found.shares.push([element.getAttribute("aria-label"), seen]);
            }
        }
        if (found === globalThis.rtlabSeen) setTimeout(look, 200);
    };
    look();
}"""
#: Pictures that a moving canvas shows.
_MOVES: Final = 3


@dataclass(frozen=True)
class Seen:
    """What could be seen of a notebook's live plots.

    Attributes
    ----------
    first : float or None
        Seconds from the open notebook to the first plot.
    pictures : int
        Different pictures of one plot, counted until they were enough to say that it moves.
    paused, resumed : bool
        What the moving plot said of itself when its button Pause, then Resume, had been pressed; a board
        of metrics has neither.
    shares : dict
        Which share of each live plot and fault panel could be seen, moment by moment.
    """

    first: float | None
    pictures: int
    shares: dict[str, list[float]]
    paused: bool = False
    resumed: bool = False

    @property
    def moved(self) -> bool:
        return self.pictures >= _MOVES


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
        await page.evaluate(_LOOK, _MOVES)
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

    async def seen(self) -> Seen:
        """Return what was seen so far."""
        found = await self.page.evaluate("rtlabSeen")
        shares: dict[str, list[float]] = {}
        for name, share in found.pop("shares"):
            shares.setdefault(name, []).append(share)
        return Seen(**found, shares=shares)

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
