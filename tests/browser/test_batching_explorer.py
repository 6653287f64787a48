"""The explorer in a real JupyterLab: a slider moved by a key while the cell awaits, in the dark."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from tests.browser.lab import JupyterLab, open_page, readable_in_dark, run_all, screenshot, set_theme

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


async def test_a_knob_is_turned_with_the_keyboard_while_the_cell_awaits(
    lab: JupyterLab, browser: Browser
) -> None:
    name = lab.write("batching.ipynb", SOURCE)
    async with open_page(browser) as page:
        await page.set_viewport_size({"width": 1000, "height": 1000})
        run = await run_all(page, lab, name)
        await set_theme(page, "JupyterLab Dark")
        box = page.locator(".rtlab-batching")
        await readable_in_dark(page, ".rtlab-batching")
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
