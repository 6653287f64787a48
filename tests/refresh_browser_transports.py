"""Makes ``data/browser_transports.json`` again: ``python -m tests.refresh_browser_transports``.

What a page's own transports do beside the Python client: the panel of notebook 03, in a JupyterLab of
its own, its button pressed in Chromium.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Final

from rtlab.experiments.transports.browser_transports import RECORDED
from rtlab.measure.provenance import program_version, provenance, write_json
from tests.browser.lab import ROOT, JupyterLab, chromium, open_browser, open_page, run_all

COMMAND: Final = "python -m tests.refresh_browser_transports"
CELL: Final = """\
import asyncio, json
from rtlab import Lab
from rtlab.experiments.transports.browser_transports import browser_transports

lab = await Lab.start(faults=True)
panel = browser_transports(lab)
display(panel)
while not panel.running:
    await asyncio.sleep(0.02)
await panel.settled()
assert panel.source == "this browser", panel.status
print(json.dumps([panel.page, panel.python]))
await lab.stop()
"""


async def main() -> None:
    """Press the button, and write down what was found."""
    with tempfile.TemporaryDirectory() as home, JupyterLab(Path(home)) as lab:
        name = lab.write("page.ipynb", CELL)
        async with open_browser() as browser, open_page(browser) as page:
            run = await run_all(page, lab, name)
            await page.get_by_role("button", name="Run in this browser").click()
            await run.wait()
            if errors := await run.errors():
                raise SystemExit(errors[0])
            seen, python = json.loads(await run.text())
    about = provenance(COMMAND)
    about["versions"]["chromium"] = program_version(chromium() or "chromium", "--version")
    write_json(ROOT / "data" / RECORDED, about, {"page": seen, "python": python})


if __name__ == "__main__":
    asyncio.run(main())
