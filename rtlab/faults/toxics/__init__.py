"""Every toxic of the proxy, by its name in the API: what it does to the bytes that pass.

Imports the protocol, to find messages in bytes. Never the proxy: a toxic sees its pipe through
`StagePipe`, and opens no socket.
"""

from __future__ import annotations

from rtlab.faults.toxics import connections, datagrams, http, messages, toxiproxy
from rtlab.faults.toxics.toxic import TOXICS, Entry, Stage, Toxic, parse_entry

__all__ = [
    "TOXICS",
    "Entry",
    "Stage",
    "Toxic",
    "connections",
    "datagrams",
    "http",
    "messages",
    "parse_entry",
    "toxiproxy",
]
