"""``rtlab bench observer``: how much the live plot adds to the latency that it plots.

Runs in a real JupyterLab with a real Chromium, because the cost is in the Jupyter kernel's
comms. Takes turns: no plot, the live plot, and matplotlib drawn into an Image widget.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Final

from rtlab.bench.registry import StartLab
from rtlab.bench.results import Result
from rtlab.errors import LabError
from rtlab.experiments.observer_effect import Phase

__all__ = ["measure", "run"]

REPEATS: Final = 25
SECONDS: Final = 4.0
RATE: Final = 1_000
#: Seconds shown, and updates per second; the same for both plots.
WINDOW: Final = 2
HZ: Final = 10
#: Seconds in which JupyterLab, the kernel and its imports must have started, on a busy machine too.
START: Final = 300.0
MAX_LAG_MS: Final = 0.4
MAX_CPU_POINTS: Final = 4.0


def _cells(seconds: float, repeats: int) -> tuple[str, ...]:
    return (
        f"""
import asyncio, io, json
import ipywidgets
from rtlab import Lab, LatencyPlot, Recorder, WebSocketConnection
from rtlab.bench.peers.matplotlib_plot import figure_of
from rtlab.experiments.observer_effect import observe

lab = await Lab.start()
conn = WebSocketConnection(lab.ws_url)
await conn.connect()
recorder = Recorder()
recorder.attach(conn, "websocket")
recorder.start()
await conn.request("feed", {{"rate": {RATE}, "count": 1_000_000, "size": 32}})
plot = LatencyPlot(recorder, window={WINDOW}, hz={HZ})
plot
""",
        """
image = ipywidgets.Image(format="png")
image
""",
        f"""
async def redraw():
    while True:
        out = io.BytesIO()
        figure_of(recorder, {WINDOW * RATE}).savefig(out, format="png")
        image.value = out.getvalue()
        await asyncio.sleep({1 / HZ})

drawing = []
watchers = {{
    "nothing": (lambda: None, lambda: None),
    "live plot": (plot.start, plot.stop),
    "matplotlib": (lambda: drawing.append(asyncio.create_task(redraw())), lambda: drawing.pop().cancel()),
}}
phases = await observe(watchers, seconds={seconds}, repeats={repeats})
print(json.dumps([list(phase) for phase in phases]))
""",
        """
await conn.close()
await lab.stop()
""",
    )


async def measure(seconds: float = SECONDS, repeats: int = REPEATS) -> list[Phase]:
    """Run the notebook in a browser, and return its phases.

    Parameters
    ----------
    seconds : float
        Length of a phase.
    repeats : int
        Phases without a plot, with the live plot, and with matplotlib: this many of each.

    Returns
    -------
    list of Phase

    Raises
    ------
    LabError
        When Playwright or Chromium is missing, or the notebook fails.
    """
    try:
        from rtlab.notebook.run_notebook_in_headless_jupyterlab import (
            JupyterLab,
            chromium,
            open_browser,
            open_page,
            run_all,
        )
    except ImportError as error:
        raise LabError(f"{error.name} is missing: pip install -e '.[test]' brings it") from None
    if chromium() is None:
        raise LabError("Chromium is missing: `rtlab doctor` says how to get it")
    with tempfile.TemporaryDirectory(prefix="rtlab-") as home, JupyterLab(Path(home)) as jupyter:
        name = jupyter.write("observer.ipynb", *_cells(seconds, repeats))
        async with open_browser() as browser, open_page(browser) as page:
            run = await run_all(page, jupyter, name)
            await run.wait(timeout=START + 3 * (repeats + 1) * (seconds + 2))
            errors, text = await run.errors(), await run.text()
    if errors or not text.strip():
        raise LabError("the notebook of the benchmark failed: " + "; ".join(errors or ["it printed nothing"]))
    return [Phase(*fields) for fields in json.loads(text.strip().splitlines()[-1])]


async def run(start_lab: StartLab) -> list[Result]:
    """Compare loop lag and CPU with and without the live plot.

    Parameters
    ----------
    start_lab : StartLab
        Not used: the notebook in the measured kernel starts its own lab.

    Returns
    -------
    list of Result
        Loop lag and CPU that the live plot adds, as differences within each turn, beside matplotlib's.

    Raises
    ------
    LabError
        When Playwright or Chromium is missing, or the notebook fails.
    """
    del start_lab
    phases = await measure()
    by_name = {
        name: [phase for phase in phases if phase.name == name]
        for name in ("nothing", "live plot", "matplotlib")
    }
    off = by_name["nothing"]

    def lag(name: str) -> list[float]:
        return [on.lag_p99_ms - base.lag_p99_ms for on, base in zip(by_name[name], off, strict=True)]

    def cpu(name: str) -> list[float]:
        return [on.cpu_percent - base.cpu_percent for on, base in zip(by_name[name], off, strict=True)]

    lags = [phase.lag_p99_ms for phase in off]
    return [
        Result.of("observer", "loop lag p99, no plot", lags, "ms"),
        Result.added(
            "observer",
            "loop lag p99 added",
            [phase.lag_p99_ms for phase in by_name["live plot"]],
            lags,
            "ms",
            MAX_LAG_MS,
        ),
        Result.of("observer", "loop lag p99 added", lag("live plot"), "ms", "matplotlib", lag("matplotlib")),
        Result.of("observer", "kernel CPU added", cpu("live plot"), "points", "limit", [MAX_CPU_POINTS]),
        Result.of(
            "observer", "kernel CPU added", cpu("live plot"), "points", "matplotlib", cpu("matplotlib")
        ),
    ]
