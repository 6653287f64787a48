"""A prediction in a real JupyterLab: noted while a cell awaits, and no longer when its kernel is gone."""

from __future__ import annotations

import pytest

from tests.browser.lab import JupyterLab, PageOf, run_all, screenshot

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

SOURCE = """\
import asyncio, os, signal
from rtlab import Predict

guess = Predict("How long?", unit="ms")
display(guess)
"""
RUN = """\
while guess.value is None:
    await asyncio.sleep(0.05)
await asyncio.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_a_prediction_whose_kernel_is_gone_says_so(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("predict.ipynb", SOURCE, RUN)
    page = await page_of(lab)
    await run_all(page, lab, name)
    box = page.locator(".rtlab-predict")
    field, gone = box.locator("input"), box.locator(".rtlab-gone")
    await field.fill("1.5 ms")
    await field.press("Enter")
    await box.locator("output", has_text="Noted: 1.5 ms").wait_for(timeout=30_000)
    assert not await gone.is_visible()
    await gone.filter(has_text="kernel").wait_for(timeout=30_000)
    assert await field.is_disabled()
    await screenshot(page, "predict-gone", ".rtlab-predict")


async def test_a_kernel_that_does_not_answer_is_noticed(lab: JupyterLab, page_of: PageOf) -> None:
    busy = SOURCE + "import time\nawait asyncio.sleep(0.5)\ntime.sleep(15)\n"
    name = lab.write("busy.ipynb", busy)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    box = page.locator(".rtlab-predict")
    field, gone = box.locator("input"), box.locator(".rtlab-gone")
    await field.wait_for(timeout=30_000)
    await page.wait_for_timeout(700)  # now it sleeps
    await field.fill("3")
    await field.press("Enter")
    await gone.filter(has_text="No news from the kernel").wait_for(timeout=12_000)
    await box.locator("output", has_text="Noted: 3 ms").wait_for(timeout=20_000)
    await gone.wait_for(state="hidden", timeout=5_000)
    await run.wait(timeout=30)
