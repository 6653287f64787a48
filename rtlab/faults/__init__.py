"""A fault proxy with seeded randomness, which implements Toxiproxy's HTTP API and extends it.

The proxy runs as its own process (``python -m rtlab.faults``); a notebook controls it with
`FaultClient`. The names below are imported on first use. The layers, from the top: `toxiproxy_http_api`
and `seeded_fault_timeline` control the `proxy`, whose connections pass through `toxics`; `client` calls the
API.

This package imports `protocol`, the child's side and the ports of `processes`, and the packaged profiles.
It never imports the lab's server or its clients: the proxy handles bytes, regardless of who sends them.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

_HOME: Final[dict[str, str]] = {
    "Fault": "rtlab.faults.client.fault_context_manager",
    "FaultClient": "rtlab.faults.client.fault_client",
    "FaultError": "rtlab.faults.errors",
    "FaultScript": "rtlab.faults.seeded_fault_timeline",
    "NetworkProfile": "rtlab.faults.network_profiles",
    "TraceEvent": "rtlab.faults.fault_trace",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rtlab.faults' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
