"""Panels of a connection, its wire, rooms and queue: the keyboard alone, in the dark, while a cell awaits."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator

from tests.browser.lab import JupyterLab, PageOf, readable_in_dark, run_all, screenshot, set_theme

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

SOURCE = """\
import asyncio

from rtlab import ConnectionInspector, Lab, MessageQueue, QueuePanel, RoomManager, RoomsPanel
from rtlab import WebSocketConnection
from rtlab.widgets.panels.wire_timeline import WireTimeline

lab = await Lab.start()
conn = WebSocketConnection(lab.ws_url)
rooms, queue = RoomManager(conn), MessageQueue(conn)
display(ConnectionInspector(conn), timeline := WireTimeline(conn), RoomsPanel(rooms), QueuePanel(queue))
"""
RUN = """\
async with timeline, queue, conn, rooms:
    await rooms.join_room("lobby")
    await queue.send("note", "poison", room_id="x" * 300)  # no room is called that: a dead letter
    for n in range(5):
        await conn.request("echo", n)
    while "M-room" not in rooms:
        await asyncio.sleep(0.02)
    while "lobby" in rooms:
        await asyncio.sleep(0.02)
await lab.stop()
print("left the lobby")
"""


async def copy_as_code(panel: Locator, words: str) -> None:
    await panel.get_by_role("button", name="Copy as code").press("Enter")
    await panel.locator("pre").filter(has_text=words).wait_for(state="attached")


async def test_all_is_done_with_the_keyboard_in_the_dark(lab: JupyterLab, page_of: PageOf) -> None:
    page = await page_of(lab)
    run = await run_all(page, lab, lab.write("panels.ipynb", SOURCE, RUN))
    await set_theme(page, "JupyterLab Dark")
    inspector, timeline, rooms, queue = (
        page.locator(f".rtlab-{name}") for name in ("inspector", "timeline", "rooms", "queue")
    )
    await queue.get_by_text("Dead letters: 1").wait_for()
    for name in ("inspector", "timeline", "rooms", "queue"):
        await readable_in_dark(page, f".rtlab-{name}")
    await screenshot(page, "panels-dark", ".jp-OutputArea")

    await copy_as_code(inspector, "WebSocketConnection(url")
    await copy_as_code(timeline, "WireTimeline")
    slider = timeline.get_by_role("slider").first
    await slider.press("Home")  # it follows no more: rows may come meanwhile
    await slider.press("ArrowRight")
    assert await slider.input_value() == "1"

    await queue.get_by_role("button", name="Retry all").press("Enter")
    await queue.get_by_text("Dead letters: 1").wait_for()  # refused once more
    await copy_as_code(queue, "MessageQueue")

    await rooms.get_by_label("room", exact=True).focus()
    await page.keyboard.type("M-room")  # a capital and Enter are shortcuts of JupyterLab's elsewhere
    await page.keyboard.press("Enter")
    await rooms.get_by_role("log", name="messages of M-room").wait_for()
    await copy_as_code(rooms, "M-room")
    await rooms.get_by_role("button", name="Leave lobby").press("Enter")
    await run.wait()
    assert await run.errors() == []
    assert "left the lobby" in await run.text()
    await set_theme(page, "JupyterLab Light")
