"""The lab's server, which is told by signals whether it counts: the difference is what counting costs.

One process, because two of the same program differ by several per cent: in what lies where in memory.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any, Final

from rtlab.server.__main__ import main
from rtlab.server.histogram import Histogram
from rtlab.server.loop_turn_meter import TurnMeter

__all__ = ["COUNT", "DO_NOT_COUNT", "main"]

#: Signals: count durations and measure turns, as a server does; do neither.
COUNT: Final = signal.SIGUSR1
DO_NOT_COUNT: Final = signal.SIGUSR2

_add, _start = Histogram.add, TurnMeter.start


def _nothing(*_: object) -> None:
    pass


def _listen(meter: TurnMeter) -> None:
    """Start a server's turn meter, and obey the signals from then on."""

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
