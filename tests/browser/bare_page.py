"""A widget's script in a page without JupyterLab: the test is its kernel, and moves the page's clock."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anywidget
from playwright.async_api import Browser, Locator, Page

from tests.browser.lab import open_page

__all__ = ["BarePage", "Shown", "bare_page"]

#: The part of a Jupyter widget's model that the scripts use.
_MODEL = """
class Model {
  constructor(state) {
    this.state = state;
    this.sent = [];
    this.listeners = {};
  }
  get(name) { return this.state[name]; }
  set(name, value) {
    if (JSON.stringify(this.state[name]) === JSON.stringify(value)) return;
    this.state[name] = value;
    this.tell(`change:${name}`);
    this.tell("change");
  }
  on(event, listener) { (this.listeners[event] ??= []).push(listener); }
  off(event, listener) {
    this.listeners[event] = this.listeners[event].filter((one) => one !== listener);
  }
  send(message) { this.sent.push(message); }
  tell(event, ...values) { for (const listener of [...(this.listeners[event] ?? [])]) listener(...values); }
}
globalThis.models = [];
globalThis.show = async (script, state) => {
  const model = new Model(state);
  const el = document.createElement("div");
  el.className = "shown";
  document.body.append(el);
  models.push(model);
  const file = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  const { default: made } = await import(file); // a module of its own for each widget, as in JupyterLab
  const widget = typeof made === "function" ? made() : made;
  widget.initialize?.({ model });
  widget.render({ model, el });
};
globalThis.take = ({ n, message, bytes }) => {
  const codes = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
  models[n].tell("msg:custom", message, [new DataView(codes.buffer)]);
};
"""
#: Settings of the widgets' base classes, which no script reads.
_OTHERS = ("_esm", "_css", "layout", "tooltip", "tabbable")


class Shown:
    """A widget in the page."""

    def __init__(self, page: Page, number: int, widget: anywidget.AnyWidget) -> None:
        self.page, self.widget = page, widget
        self.box: Locator = page.locator(".shown").nth(number)
        self._number = number

    async def heard(self) -> list[dict[str, Any]]:
        """Return what the page has sent since the last call."""
        return await self.page.evaluate("n => models[n].sent.splice(0)", self._number)

    async def tell(self, message: dict[str, Any], buffer: Any = b"") -> None:
        """Send a custom message to the page."""
        raw = base64.b64encode(bytes(buffer)).decode()
        await self.page.evaluate("take", {"n": self._number, "message": message, "bytes": raw})

    async def answer(self) -> None:
        """Give the widget what the page has sent, and the page what the widget then has for it."""
        told: list[tuple[dict[str, Any], Any]] = []
        self.widget.send = lambda content, buffers=None: told.append((content, buffers))  # type: ignore[method-assign]
        for content in await self.heard():
            self.widget._handle_custom_msg(content, [])
        await asyncio.sleep(0)  # they are handled on this loop, in its next turn
        await self.change(**self._state())
        for content, buffers in told:
            await self.tell(content, buffers[0] if buffers else b"")

    async def change(self, **traits: Any) -> None:
        """Change traits in the page alone."""
        change = "([n, traits]) => { for (const name in traits) models[n].set(name, traits[name]); }"
        await self.page.evaluate(change, [self._number, traits])

    async def lose_kernel(self) -> None:
        """Tell the page, as JupyterLab does, that the widget's kernel has ended."""
        await self.page.evaluate("n => models[n].tell('comm_live_update')", self._number)

    def _state(self) -> dict[str, Any]:
        state = self.widget.get_state()
        return {name: value for name, value in state.items() if name not in _OTHERS}


class BarePage:
    """A page whose clock stands, except in `pass_time`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._count = 0

    async def show(self, widget: anywidget.AnyWidget) -> Shown:
        """Show a widget, below those that are shown already."""
        shown = Shown(self.page, self._count, widget)
        self._count += 1
        await self.page.evaluate(
            "([script, state]) => show(script, state)", [str(widget._esm), shown._state()]
        )
        return shown

    async def pass_time(self, seconds: float) -> None:
        """Let the page's clock go on; timers and frames that become due run."""
        await self.page.clock.run_for(int(1000 * seconds))


@asynccontextmanager
async def bare_page(browser: Browser) -> AsyncIterator[BarePage]:
    """Open an empty page."""
    async with open_page(browser) as page:
        await page.clock.install(time=0)
        await page.goto("data:text/html,<!doctype html><style>canvas{width:600px;height:200px}</style>")
        await page.clock.pause_at(1_000_000)
        await page.evaluate(f"() => {{ {_MODEL} }}")
        yield BarePage(page)
