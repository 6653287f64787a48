"""A seeded fault proxy that speaks Toxiproxy's API, and more.

It runs as its own process (``python -m rtlab.faults``); a notebook drives it
with `FaultClient`. Names are imported when first used. Inside, from the top: `api` and `script`
drive the `proxy`, whose connections pass through `toxics`; `client` speaks to the API.

Imports the protocol, the child's end of `processes`, and the packaged profiles. Never the lab's
server or its clients: the proxy sees bytes, whoever sends them.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

_HOME: Final[dict[str, str]] = {
    "Fault": "rtlab.faults.client.fault",
    "FaultClient": "rtlab.faults.client.fault_client",
    "FaultError": "rtlab.faults.errors",
    "FaultScript": "rtlab.faults.script",
    "NetworkProfile": "rtlab.faults.profiles",
    "TraceEvent": "rtlab.faults.trace",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rtlab.faults' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
