"""The widgets of the notebook on event streams, in a real JupyterLab: by keyboard alone, in the dark.

The playground; and the page's own transports: nothing before the click, all of it after, nobody later.
"""

from __future__ import annotations

import json

import pytest

from tests.browser.lab import JupyterLab, PageOf, run_all, screenshot, set_theme

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

SOURCE = r"""
from rtlab.widgets.event_stream_playground import StreamPlayground

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


PAGE = """\
import asyncio, json, os
from rtlab import Lab
from rtlab.experiments.transports.browser_transports import browser_transports

lab = await Lab.start(faults=True)
panel = browser_transports(lab)
panel
"""
#: Waits for the reader's click, and says what his run found.
RUN = """\
while not panel.running:
    await asyncio.sleep(0.02)
await panel.settled()
print(json.dumps([panel.page, panel.python, panel.status]))
while not os.path.exists("close-page"):
    await asyncio.sleep(0.05)
panel.close()
await panel.settled()
import httpx
async with httpx.AsyncClient(headers={"Origin": origin}) as http:
    print((await http.get(f"{lab.url}/poll")).status_code)
await lab.stop()
"""


async def test_a_click_runs_the_pages_own_transports(lab: JupyterLab, page_of: PageOf) -> None:
    origin = f"http://127.0.0.1:{lab.port}"
    name = lab.write("browser-page.ipynb", PAGE, f"origin = {origin!r}\n{RUN}")
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    await set_theme(page, "JupyterLab Dark")
    panel = page.locator(".rtlab-page")
    button = panel.get_by_role("button", name="Run in this browser")
    assert origin in await panel.inner_text()
    assert "Nothing has run here" in await panel.locator("output").inner_text()
    await button.focus()
    await page.keyboard.press("Enter")
    await panel.get_by_role("button", name="Stop").wait_for()
    await button.wait_for()  # instead of Stop: it has ended
    await screenshot(page, "browser-page", ".rtlab-page")
    (lab.root / "close-page").touch()
    await run.wait()
    assert await run.errors() == []
    found, refused = (await run.text()).splitlines()
    seen, python, status = json.loads(found)
    assert status.startswith("done"), status
    assert refused == "403"
    # Orders and counts; how long anything took is not judged here.
    counts = {"named": 10, "unnamed": 0, "id_sent": 1, "resumed": 10, "after_503": 0, "new_id_sent": 0}
    assert {key: seen[key] for key in counts} == counts
    assert {key: python[key] for key in counts} == counts
    assert (seen["streams"], seen["passed"], seen["new_got"]) == (6, 0, 0)
    assert (python["streams"], python["passed"], python["new_got"]) == (8, 1, 0)
    assert seen["ws_buffered"] > 60 * 16_000  # all of it: `send` waits for nothing
