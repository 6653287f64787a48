"""The proxy's toxics, each registered under its name in the API: what they do to the bytes that pass.

This package imports `protocol`, to find messages in a byte stream. It never imports the proxy: a
toxic sees its pipe only through `StagePipe`, and opens no socket.
"""

from __future__ import annotations

from rtlab.faults.toxics import connections, datagrams, http, messages, toxiproxy
from rtlab.faults.toxics.toxic import TOXICS, Toxic, ToxicEntry, ToxicStage, parse_entry

__all__ = [
    "TOXICS",
    "Toxic",
    "ToxicEntry",
    "ToxicStage",
    "connections",
    "datagrams",
    "http",
    "messages",
    "parse_entry",
    "toxiproxy",
]
