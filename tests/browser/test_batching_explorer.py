"""The explorer in a real JupyterLab: a slider moved by a key while the cell awaits, in the dark."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from tests.browser.lab import JupyterLab, open_page, run_all, screenshot, set_theme

pytestmark = pytest.mark.timeout(240)

SOURCE = """
from rtlab import Lab
from rtlab.widgets.batching_explorer import BatchingExplorer

async with Lab(faults=True) as lab:
    explorer = BatchingExplorer(lab, rate=100, size=1, wait=500)
    display(explorer)
    async with explorer:
        await explorer.wait(100)
print("the reader chose", explorer.panel.settings["size"])
"""

#: Each text of the explorer stands out from a dark ground: WCAG 2.2 asks for a contrast of 4.5 (§1.4.3).
READABLE = """() => {
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
  const texts = [...document.querySelectorAll(".rtlab-batching :is(td, th, label, button, output)")];
  return texts.length > 10 && texts.filter((el) => el.innerText.trim() && el.offsetHeight).every((el) => {
    const [front, back] = [light(getComputedStyle(el).color), light(ground(el))];
    return back < 0.1 && (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05) >= 4.5;
  });
}"""


async def test_a_knob_is_turned_with_the_keyboard_while_the_cell_awaits(
    lab: JupyterLab, browser: Browser
) -> None:
    name = lab.write("batching.ipynb", SOURCE)
    async with open_page(browser) as page:
        await page.set_viewport_size({"width": 1000, "height": 1000})
        run = await run_all(page, lab, name)
        await set_theme(page, "JupyterLab Dark")
        box = page.locator(".rtlab-batching")
        await page.wait_for_function(READABLE)
        row = box.locator("tr", has_text="messages per frame").locator("td").first
        await row.filter(has_text="1.00").wait_for()
        slider = box.get_by_label("at most, B")
        await slider.focus()
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("ArrowRight")
        await row.filter(has_text="5.00").wait_for()
        assert await slider.get_attribute("aria-valuetext") == "5 a frame"
        await box.get_by_role("button", name="Copy as code").click()
        assert "batch_size=5, flush_interval=0.5" in await box.locator("pre").inner_text()
        await screenshot(page, "batching_explorer", ".jp-OutputArea-output")
        await page.get_by_role("button", name="Stop", exact=True).click()
        await run.wait()
        assert await run.errors() == []
        await page.get_by_text("the reader chose 5").wait_for()
