"""Finds programs and free ports on this machine, and checks whether a port answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl as ssl_module
import sys
from pathlib import Path
from typing import Final

__all__ = ["accepts", "find_program", "free_port", "http_ok", "nofile", "port_is_free"]


_NO_LIMIT: Final = 1 << 20


def find_program(name: str) -> str | None:
    """Find a program in this Python environment, on the PATH, or where Debian keeps daemons.

    Parameters
    ----------
    name : str
        A name, or a path.

    Returns
    -------
    str or None
        Its full path.
    """
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join(
        [here, os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"]
    )
    return shutil.which(name, path=path)


def nofile() -> int:
    """Return the soft limit of open file descriptors; a large number where there is no limit."""
    if sys.platform == "win32":
        return _NO_LIMIT
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else soft


def free_port() -> int:
    """Return a free TCP port of 127.0.0.1, for programs that cannot choose one themselves.

    Returns
    -------
    int
        A port that was free a moment ago: another program may take it first.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on this port of 127.0.0.1.

    Parameters
    ----------
    port : int
        0 is always free.

    Returns
    -------
    bool
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def accepts(port: int) -> bool:
    """Return whether a server accepts connections on this port of 127.0.0.1, within 1 s.

    Parameters
    ----------
    port : int
        The port.

    Returns
    -------
    bool
    """
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def http_ok(
    port: int, path: str, timeout: float = 1.0, *, ssl: ssl_module.SSLContext | None = None
) -> bool:
    """Return whether a GET on 127.0.0.1 is answered with 200. Spares the slow import of an HTTP client.

    Parameters
    ----------
    port : int
        The port.
    path : str
        Path of the request, which begins with ``/``.
    timeout : float
        Seconds for the whole exchange.
    ssl : ssl.SSLContext, optional
        TLS context; None sends the request over plain TCP.

    Returns
    -------
    bool
        False also when no server listens.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ssl)
            try:
                head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
                writer.write(head.encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
