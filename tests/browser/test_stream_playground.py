"""The playground for event streams in a real JupyterLab: by keyboard alone, at 700 pixels, in the dark."""

from __future__ import annotations

import pytest

from tests.browser.lab import JupyterLab, PageOf, run_all, screenshot, set_theme

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="module")]

SOURCE = r"""
from rtlab.widgets.stream_playground import StreamPlayground

StreamPlayground({"two lines": r"data: a\ndata: b\n\n", "a cut": r"id: 7\ndata: x\n|\n"})
"""


async def test_bytes_are_typed_guessed_and_read_with_the_keyboard(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("playground.ipynb", SOURCE)
    page = await page_of(lab)
    await page.set_viewport_size({"width": 700, "height": 900})
    run = await run_all(page, lab, name)
    await run.wait()
    await set_theme(page, "JupyterLab Dark")
    box = page.locator(".jp-OutputArea-output").last
    text, answer = box.locator("textarea"), box.get_by_role("status")
    await answer.filter(has_text="Say a number first").wait_for()
    await text.focus()
    await page.keyboard.press("ControlOrMeta+A")
    await page.keyboard.type(r"data:  x\n")
    await page.keyboard.press("Enter")  # a line's end in the box is an LF of the stream
    await page.keyboard.type(r"\q")
    await answer.filter(has_text=r"\q is no escape here").wait_for()
    await page.keyboard.press("Backspace")
    await page.keyboard.press("Backspace")
    # The kernel has the last of it: bytes that arrive after a guess withdraw it.
    await answer.filter(has_text="Say a number first").wait_for()
    await page.keyboard.press("Tab")
    await page.keyboard.type("1")
    await page.keyboard.press("Enter")
    await answer.filter(has_text="✓ right.").wait_for()
    assert "' x'" in await answer.inner_text()
    assert "data:  x" in await text.input_value()
    await screenshot(page, "playground", ".jp-OutputArea-output")
    assert await run.errors() == []
