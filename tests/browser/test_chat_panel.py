"""The chat panel in a real JupyterLab: the keyboard alone, while a cell awaits."""

from __future__ import annotations

import pytest

from tests.browser.lab import JupyterLab, PageOf, run_all

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

SOURCE = """\
from rtlab import ChatPanel, Lab, ServerSentEvents, WebSocketConnection

lab = await Lab.start()
ada, bob = WebSocketConnection(lab.ws_url, client_id="ada"), ServerSentEvents(lab.url, client_id="bob")
panel = ChatPanel("lobby", {"Ada": ada, "Bob": bob})
display(panel)
"""
RUN = """\
async with ada, bob, panel:
    await panel.say("Ada", "<b>bold?</b><img src=x onerror='window.struck = 1'>")
    await panel.wait(60)
await lab.stop()
print(panel.left.is_set(), [line for line in panel.lines("Bob") if line[0]][-1])
"""


async def test_two_users_write_with_the_keyboard_alone(lab: JupyterLab, page_of: PageOf) -> None:
    page = await page_of(lab)
    run = await run_all(page, lab, lab.write("chat.ipynb", SOURCE, RUN))
    panel = page.locator(".rtlab-chat")
    await panel.get_by_label("what Bob sees").locator("li", has_text="<b>bold?</b>").wait_for()
    assert await panel.locator("b, img").count() == 0
    assert await page.evaluate("window.struck") is None

    await panel.get_by_label("Ada writes").focus()
    # Capitals and Enter are shortcuts of JupyterLab's elsewhere.
    await page.keyboard.type("M is typed")
    await page.keyboard.press("Enter")
    await panel.get_by_label("what Bob sees").locator("li", has_text="M is typed").wait_for()
    assert await panel.get_by_label("Ada writes").input_value() == ""
    for _ in range(3):  # the button, the other's lines, the other's field
        await page.keyboard.press("Tab")
    await page.keyboard.type("  ")
    await page.keyboard.press("Enter")
    await panel.get_by_text("there is nothing to send").wait_for()
    await page.keyboard.type("from Bob")
    await page.keyboard.press("Enter")
    await panel.get_by_label("what Ada sees").locator("li", has_text="from Bob").wait_for()

    await panel.get_by_role("button", name="Leave").press("Enter")
    await run.wait()
    assert await run.errors() == []
    assert "True ('bob', 'from Bob')" in await run.text()
