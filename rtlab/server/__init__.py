"""The lab's server: rooms and sessions, four transports, one port. It runs in a process of its own.

Imports the ground and `rtlab.webrtc`, `rtlab.processes`. Never a client, the lab or the fault
proxy. A message comes in through `endpoints`, `ingress` and `handlers`; it goes out through
`brokers`, `rooms`, `session_registry` and `sinks`. `node` puts one server together, `app` has the routes.
"""

from __future__ import annotations
