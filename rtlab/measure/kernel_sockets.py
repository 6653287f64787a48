"""Bytes in the kernel's socket buffers: memory that no tool counts as a process's own."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["bytes_in_kernel"]

_TABLE: Final = Path("/proc/net/tcp")


def bytes_in_kernel(port: int, table: Path = _TABLE) -> int:
    """Return the bytes in the kernel's buffers of one server's TCP connections on this host.

    Parameters
    ----------
    port : int
        The server's port. Both ends of its connections count: bytes in the server's send
        buffers that are not acknowledged, and unread bytes in the clients' receive buffers.
    table : Path
        Linux's ``/proc/net/tcp``, which lists the IPv4 sockets.

    Returns
    -------
    int
        Payload bytes, without the kernel's own bookkeeping. Bytes that were delivered but are not
        acknowledged yet (delayed acknowledgement: 40 ms at most on one host) count at both ends.

    Raises
    ------
    FileNotFoundError
        If there is no such table, as on macOS and Windows.
    """
    total = 0
    for line in table.read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, _, queues = line.split()[:5]
        sending, unread = (int(part, 16) for part in queues.split(":"))
        if _port(local) == port:
            # A listening socket (remote port 0) has a count of connections in this column, not bytes.
            total += sending if _port(remote) else 0
        elif _port(remote) == port:
            total += unread
    return total


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
