"""The lab's server without its histograms, as a module to run: what counting is held against."""

from __future__ import annotations

from rtlab.server.__main__ import main
from rtlab.server.histogram import Histogram
from rtlab.server.turn_meter import TurnMeter

__all__ = ["main"]


def _nothing(*_: object) -> None:
    pass


if __name__ == "__main__":
    Histogram.add = _nothing  # type: ignore[method-assign]
    TurnMeter.start = _nothing  # type: ignore[method-assign]
    raise SystemExit(main())
