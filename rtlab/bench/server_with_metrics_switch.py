"""The lab's server with signals that switch its metrics off and on, to measure what the metrics cost.

One process, because the CPU time of two processes of the same program differs by several per cent, with
their memory layout.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

from rtlab.server.__main__ import main
from rtlab.server.event_loop.turn_duration_meter import TurnMeter
from rtlab.server.latency_histogram_buckets import Histogram

__all__ = ["COUNT", "DO_NOT_COUNT", "main"]

#: Signals. COUNT: count durations and measure loop turns, as a server does; DO_NOT_COUNT: do neither.
COUNT: Final = signal.SIGUSR1
DO_NOT_COUNT: Final = signal.SIGUSR2

_add, _start = Histogram.add, TurnMeter.start


def _nothing(*_: object) -> None:
    pass


def _listen(meter: TurnMeter) -> None:
    """Start a server's turn meter, and handle the signals from then on."""

    def switch(add: Any, begin: Any) -> None:
        meter.stop()
        Histogram.add = add
        begin(meter)

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(COUNT, switch, _add, _start)
    loop.add_signal_handler(DO_NOT_COUNT, switch, _nothing, _nothing)
    _start(meter)


if __name__ == "__main__":
    TurnMeter.start = _listen  # type: ignore[method-assign]
    raise SystemExit(main())
