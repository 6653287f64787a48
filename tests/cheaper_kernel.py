"""Run by a notebook's kernel before its first cell (PYTHONSTARTUP): spares what nbval cannot see.

Figures are made, but not painted: nbval compares no pictures, they were a third of a notebook's work,
and the browser's tests see them. The machine's certificates are read once, and not by each HTTP client,
which takes it 20 ms: the notebooks' servers speak plain HTTP.
"""

from functools import cache as _cache

import httpx._transports.default as _httpx

from rtlab.figures.chart import Chart as _Chart

_Chart.png = lambda self, ratio=2.0: b""  # type: ignore[method-assign]
_httpx.create_ssl_context = _cache(_httpx.create_ssl_context)  # type: ignore[attr-defined]
del _cache, _httpx, _Chart
