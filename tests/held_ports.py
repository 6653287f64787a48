"""Which ports this process reserves.

That a stranger is refused does not prove it: it is also refused where closed connections are in TIME_WAIT.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from rtlab.processes.ports import can_hold_ports

__all__ = ["needs_held_ports", "ports_held_here"]

needs_held_ports: Final = pytest.mark.skipif(
    not can_hold_ports(), reason="this system cannot reserve a port for a server"
)


def ports_held_here() -> Counter[int]:
    """Return port → number of this process's IPv4 TCP sockets that are bound, not listening or connected.

    That counts, beside held ports, those of sockets that are still connecting or were reset: compare only
    the ports in question.
    """
    held = Counter[int]()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
            descriptor = os.dup(int(entry.name))
        except OSError:  # closed meanwhile, as the listing itself
            continue
        with socket.socket(fileno=descriptor) as sock:
            if sock.family != socket.AF_INET or sock.type != socket.SOCK_STREAM:
                continue
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            try:
                sock.getpeername()
            except OSError:
                if not listens and (port := sock.getsockname()[1]):
                    held[port] += 1
    return held
