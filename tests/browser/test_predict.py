"""A prediction in a real JupyterLab: noted while a cell awaits, and no longer when its kernel is gone."""

from __future__ import annotations

import asyncio

import pytest

from tests.browser.lab import JupyterLab, PageOf, run_all, screenshot

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

SOURCE = """\
import asyncio, os, signal, time
from rtlab import Predict

guess = Predict("How long?", unit="ms")
display(guess)
"""
RUN = """\
while guess.value is None:
    await asyncio.sleep(0.05)
while not os.path.exists("die"):
    await asyncio.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
"""
BUSY = """\
while not os.path.exists("sleep"):
    await asyncio.sleep(0.05)
open("asleep", "w").close()
while not os.path.exists("wake"):
    time.sleep(0.05)
"""


async def test_a_prediction_whose_kernel_is_gone_says_so(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("predict.ipynb", SOURCE, RUN)
    page = await page_of(lab)
    await run_all(page, lab, name)
    box = page.locator(".rtlab-predict")
    field, gone = box.locator("input"), box.locator(".rtlab-gone")
    await field.fill("1.5 ms")
    await field.press("Enter")
    await box.locator("output", has_text="Noted: 1.5 ms").wait_for()
    assert not await gone.is_visible()
    (lab.root / "die").touch()
    await gone.filter(has_text="kernel").wait_for()
    assert await field.is_disabled()
    await screenshot(page, "predict-gone", ".rtlab-predict")


async def test_a_kernel_that_does_not_answer_is_noticed(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("busy.ipynb", SOURCE + BUSY)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    box = page.locator(".rtlab-predict")
    field, gone = box.locator("input"), box.locator(".rtlab-gone")
    await field.wait_for()
    (lab.root / "sleep").touch()
    async with asyncio.timeout(60):
        while not (lab.root / "asleep").exists():
            await asyncio.sleep(0.05)
    await field.fill("3")
    await field.press("Enter")
    await gone.filter(has_text="No news from the kernel").wait_for()
    (lab.root / "wake").touch()
    await box.locator("output", has_text="Noted: 3 ms").wait_for()
    await gone.wait_for(state="hidden")
    await run.wait()
