"""The lab's server: rooms and sessions, four transports, one port. It runs in a process of its own.

It imports `rtlab.errors`, `rtlab.policies`, `rtlab.protocol`, `rtlab.processes` and `rtlab.webrtc`;
never a client, the lab or the fault proxy. A client's message comes in through `endpoints`, `ingress`
and `handlers`, and goes out through `brokers`, `rooms`, `sessions` and `sinks`. `node` creates and
connects the parts of one server; `aiohttp_app_and_routes` defines the routes.
"""

from __future__ import annotations
