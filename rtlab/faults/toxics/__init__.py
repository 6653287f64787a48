"""The proxy's toxics, each registered under its name in the API: what they do to the bytes that pass.

Seven have Toxiproxy's names and attributes: `bandwidth`, `latency`, `limit_data`, `reset_peer`, `slicer`,
`slow_close` and `timeout`. This package imports `protocol`, to find messages in a byte stream. It never
imports the proxy: a toxic sees its pipe only through `StagePipe`, and opens no socket.
"""

from __future__ import annotations

from rtlab.faults.toxics import (
    corrupt_bytes,
    cut_and_reset,
    datagram_loss_and_delay,
    drop_message_kill_midframe,
    http_middlebox,
    latency_and_bandwidth,
    stall_and_blackhole,
)
from rtlab.faults.toxics.toxic_registry_and_base_classes import (
    TOXICS,
    Toxic,
    ToxicEntry,
    ToxicStage,
    parse_entry,
)

__all__ = [
    "TOXICS",
    "Toxic",
    "ToxicEntry",
    "ToxicStage",
    "corrupt_bytes",
    "cut_and_reset",
    "datagram_loss_and_delay",
    "drop_message_kill_midframe",
    "http_middlebox",
    "latency_and_bandwidth",
    "parse_entry",
    "stall_and_blackhole",
]
