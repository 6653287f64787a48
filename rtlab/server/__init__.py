"""The lab's server: one hub, four transports, one port.

The layers inside, from the pure to the wired: `frames` (a message encoded once),
`hub` (rooms), `session` (numbering and replay), `delivery` (sinks: how a frame
leaves), `feed` (open-loop streams), `protocol` (what each message means), `node`
(one server's state), `websocket`, `http` and `rtc` (the transports), `app` (routes).
"""

from __future__ import annotations
