"""Run by a notebook's kernel before its first cell (PYTHONSTARTUP): spares what no test looks at.

Figures are made, but not painted, which was a third of a notebook's work: a transparent point stands
for each, in the figure's size. The machine's certificates are read once, and not by each HTTP client,
which takes it 20 ms: the notebooks' servers speak plain HTTP. Servers start as `tests.warm_start` says.
"""

from base64 import b64decode as _b64decode
from functools import cache as _cache

import httpx._transports.default as _httpx

from rtlab.figures.chart_style.matplotlib_style import Chart as _Chart
from tests import warm_start as _warm_start

_warm_start.install()
_warm_start.prepare("servers")
_POINT = _b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_Chart.png = lambda self, ratio=2.0: _POINT  # type: ignore[method-assign]
_httpx.create_ssl_context = _cache(_httpx.create_ssl_context)  # type: ignore[attr-defined]
del _b64decode, _cache, _httpx, _Chart, _warm_start
