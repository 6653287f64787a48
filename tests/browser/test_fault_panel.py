"""The fault panel in a real JupyterLab: the cable is pulled while a cell awaits."""

from __future__ import annotations

import ast

import pytest

from tests.browser.lab import JupyterLab, PageOf, run_all, screenshot

pytestmark = [pytest.mark.timeout(240), pytest.mark.asyncio(loop_scope="session")]

SOURCE = """\
from rtlab import Lab, LatencyPlot, Recorder, WebSocketConnection
from rtlab.widgets.panels.fault_panel import FaultPanel

from rtlab.policies.backoff import Constant

lab = await Lab.start(faults=True)
recorder = Recorder()
panel = FaultPanel(lab.faults, recorder)
plot = LatencyPlot(recorder, title="Through the fault proxy")
display(panel, plot)
"""
RUN = """\
async with WebSocketConnection(lab.faults.ws_url, backoff=Constant(0.01)) as conn, plot:
    recorder.attach(conn, "websocket")
    await conn.request("feed", {"rate": 100, "count": 100_000})
    await plot.wait(100)
trace = await lab.faults.trace()
await lab.stop()
struck = trace[(trace.bytes > 0) & (trace.kind == "affected")].toxic
print([
    [mark.text for mark in recorder.marks if mark.kind == "fault"],
    sorted({name.split("_")[0] for name in struck}),
    trace[trace.kind == "ended"].detail.to_list()[:2],
])
"""


async def test_the_controls_work_while_a_cell_awaits(lab: JupyterLab, page_of: PageOf) -> None:
    name = lab.write("faults.ipynb", SOURCE, RUN)
    page = await page_of(lab)
    run = await run_all(page, lab, name)
    panel, plot = page.locator(".rtlab-faults"), page.locator(".rtlab-plot")
    status = panel.locator(".rtlab-status")
    await plot.locator(".rtlab-status", has_text="running").wait_for()

    await panel.get_by_label("round trip").fill("80")
    await status.filter(has_text="delayed by 80").wait_for()
    await panel.get_by_role("button", name="Pull the cable").click()
    await status.filter(has_text="the cable is pulled").wait_for()
    await screenshot(page, "fault-panel", ".rtlab-faults")
    await panel.get_by_role("button", name="Plug it in again").click()
    await status.filter(has_text="delayed by 80").wait_for()
    await panel.get_by_label("network").select_option("3g")
    await status.filter(has_text="network: 3g").wait_for()
    await panel.get_by_label("jitter").fill("20")
    await status.filter(has_text="delayed by 0 ± 20").wait_for()
    await panel.get_by_role("button", name="Restore").click()
    await status.filter(has_text="nothing is in the way").wait_for()
    await panel.get_by_role("button", name="Cut once").click()
    await status.filter(has_text="every connection was cut").wait_for()

    await plot.get_by_role("button", name="Stop", exact=True).click()
    await run.wait()
    assert await run.errors() == []
    marks, struck, ended = ast.literal_eval(await run.text())
    assert len(marks) == 7
    assert {"latency", "blackhole"} <= set(struck)  # bytes were held, and swallowed
    assert ended == ["rst: the stream has a hole", "rst: cut"]


async def test_it_shows_what_a_cell_does_and_that_its_kernel_is_gone(
    lab: JupyterLab, page_of: PageOf
) -> None:
    scripted = """\
import asyncio, os, signal
hand = "nobody"
async with lab.faults.blackhole():
    await panel.wait_for(pulled=False, patience=60)
async with lab.faults.rtt(120):
    hand = await panel.wait_for(pulled=True, patience=60)
    while not os.path.exists("die-mirror"):
        await asyncio.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)
"""
    name = lab.write("mirror.ipynb", SOURCE, scripted)
    page = await page_of(lab)
    await run_all(page, lab, name)
    panel = page.locator(".rtlab-faults")
    status, gone = panel.locator(".rtlab-status"), panel.locator(".rtlab-gone")
    # A cell's black hole; the reader plugs the cable in.
    await status.filter(has_text="the cable is pulled").wait_for()
    request = panel.locator(".rtlab-request")
    await request.filter(has_text="Your turn: Plug it in again").wait_for()
    await screenshot(page, "fault-panel-request", ".rtlab-faults")
    await panel.get_by_role("button", name="Plug it in again").click()
    focused = "document.querySelector('.rtlab-faults').contains(document.activeElement)"
    assert not await page.evaluate(focused)  # or Shift+Enter would press it again
    # The next cell's delay, under the reader's cable.
    await status.filter(has_text="delayed by 120").wait_for()
    assert await panel.get_by_label("round trip").input_value() == "120"
    await panel.get_by_role("button", name="Pull the cable").click()
    await status.filter(has_text="the cable is pulled").filter(has_text="delayed by 120").wait_for()
    assert not await gone.is_visible()
    (lab.root / "die-mirror").touch()
    await gone.filter(has_text="kernel").wait_for()
    assert await panel.get_by_role("button", name="Plug it in again").is_disabled()
    assert await panel.get_by_label("round trip").is_disabled()
    await screenshot(page, "fault-panel-gone", ".rtlab-faults")
