"""What waits in the kernel's socket buffers: memory that no process tool shows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["bytes_in_kernel"]

_TABLE: Final = Path("/proc/net/tcp")


def bytes_in_kernel(port: int, table: Path = _TABLE) -> int:
    """Return the bytes that lie in the buffers of one server's TCP connections on this host.

    Parameters
    ----------
    port : int
        The server's port. Both ends of its connections count: what the server's sockets
        have not got acknowledged, and what the clients' sockets hold unread.
    table : Path
        Linux's ``/proc/net/tcp``, of IPv4.

    Returns
    -------
    int
        Payload bytes; the kernel's own bookkeeping around them comes on top. What was delivered
        and is not acknowledged yet (40 ms at most, on one host) counts at both ends.

    Raises
    ------
    FileNotFoundError
        Where there is no such table, on macOS and Windows.
    """
    total = 0
    for line in table.read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, _, queues = line.split()[:5]
        sending, unread = (int(part, 16) for part in queues.split(":"))
        if _port(local) == port:
            # A listening socket counts connections there, not bytes.
            total += sending if _port(remote) else 0
        elif _port(remote) == port:
            total += unread
    return total


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
