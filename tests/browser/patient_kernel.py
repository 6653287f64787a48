"""Run by the walk's kernels before their first cell: a plot runs until one was paused and resumed.

The page does that when it has seen the plot move; see `tests/browser/walk.py`. On a busy machine a run of a
second can be over before the browser has drawn it twice; so the order of events decides, and no clock.
"""

from tests import cheaper_kernel as _cheaper_kernel  # noqa: F401 - for what it does when it is imported


def _wait_for_the_page(patience: float) -> None:
    """Let no plot's run end before one was paused and resumed, or `patience` seconds are over."""
    import asyncio
    from typing import Any

    from rtlab.widgets.live_latency_plot import LatencyPlot

    leave, receive = LatencyPlot.__aexit__, LatencyPlot._receive
    presses: list[bool] = []
    obeyed = asyncio.Event()

    async def patient(self: LatencyPlot, *exc_info: object) -> None:
        if exc_info[0] is None and not obeyed.is_set():
            await asyncio.wait({asyncio.ensure_future(obeyed.wait())}, timeout=patience)
            obeyed.set()
        await leave(self, *exc_info)

    def noting(self: LatencyPlot, message: dict[str, Any]) -> None:
        receive(self, message)
        if message.get("name") == "paused":
            presses.append(self.paused)
            if presses[-2:] == [True, False]:
                obeyed.set()

    LatencyPlot.__aexit__, LatencyPlot._receive = patient, noting  # type: ignore[method-assign]


_wait_for_the_page(30.0)
del _wait_for_the_page
