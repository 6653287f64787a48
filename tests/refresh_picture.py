"""Makes ``data/live-plot.png`` again, from a real run: ``python -m tests.refresh_picture``.

JupyterLab, Chromium, the lab and its fault proxy; one cut in the middle. Says what to
write into ``data/README.md`` beside it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.browser.lab import ROOT, JupyterLab, open_browser, open_page, run_all

TARGET = ROOT / "data" / "live-plot.png"
SECONDS = 9

CELLS = (
    """\
import asyncio, time
from rtlab import Lab, LatencyPlot, Recorder, WebSocketConnection

lab = await Lab.start(faults=True)
recorder = Recorder()
plot = LatencyPlot(recorder, window=9, title="WebSocket through the fault proxy, cut once", log_y=True)
plot
""",
    f"""\
conn = WebSocketConnection(lab.faults.ws_url, reconnect_interval=0.4)
await conn.connect()
recorder.attach(conn, "websocket push")
recorder.attach(conn, "echo", type="echo")

async def echoes():
    while True:
        if conn.state.value == "Connected":
            await conn.send("echo", ts=time.monotonic())
        await asyncio.sleep(0.02)

async with plot:
    await conn.request("feed", {{"rate": 60, "count": 60 * {SECONDS}, "size": 64}})
    task = asyncio.create_task(echoes())
    await plot.wait({SECONDS} / 2)
    await lab.faults.cut()
    await plot.wait({SECONDS} / 2 + 60)
    task.cancel()
await asyncio.gather(task, return_exceptions=True)
await conn.close()
await lab.stop()
""",
)


async def picture() -> None:
    """Run the notebook and take the picture when it is full."""
    with tempfile.TemporaryDirectory(prefix="rtlab-") as home, JupyterLab(Path(home)) as jupyter:
        name = jupyter.write("picture.ipynb", *CELLS)
        async with open_browser() as browser, open_page(browser, ratio=2.0) as page:
            run = await run_all(page, jupyter, name)
            plot = page.locator(".rtlab-plot").first
            await plot.locator(".rtlab-status", has_text="running").wait_for(timeout=60_000)
            await asyncio.sleep(SECONDS)
            await plot.screenshot(path=TARGET)
            await plot.get_by_role("button", name="Stop", exact=True).click()
            await run.wait()
            errors = await run.errors()
    if errors:
        sys.exit("\n".join(errors))


if __name__ == "__main__":
    asyncio.run(picture())
    names = ("rtlab", "jupyterlab", "websockets", "aiohttp")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    print(f"made by `python -m tests.refresh_picture`, {datetime.now(UTC):%Y-%m-%d}, {versions}")
