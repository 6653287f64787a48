"""Ports for the kernels that tests start, from where the system takes none for connections.

A kernel's five ports are chosen a second before it listens on them; meanwhile thousands of connections
of other tests come and go, and now and then one of them had taken such a port.
"""

from __future__ import annotations

import os
import random
import socket
from typing import Final

__all__ = ["kernel_ports"]

#: Below Linux' ``net.ipv4.ip_local_port_range``; each worker of xdist has its own thousand.
_FIRST: Final = 20_000
_SHARE: Final = 1000


def kernel_ports() -> dict[str, int | bool]:
    """Return the arguments of a kernel manager that name its ports."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")
    first = _FIRST + _SHARE * (int(worker) % 10)
    ports: list[int] = []
    for port in random.sample(range(first, first + _SHARE), _SHARE):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == 5:
            break
    names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    return {"cache_ports": False, **dict(zip(names, ports, strict=True))}
