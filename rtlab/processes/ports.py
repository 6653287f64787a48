"""Reserves ports of this machine, and checks whether one is free or answers."""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
import ssl as ssl_module
import sys
import weakref
from typing import Any, Self

__all__ = [
    "HeldPort",
    "accepts",
    "can_hold_ports",
    "http_ok",
    "port_is_free",
]


@functools.cache
def can_hold_ports() -> bool:
    """Return whether `HeldPort` reserves its port on this system, which is tried once.

    Elsewhere, a bound socket keeps out the very server it waits for: on other systems than Linux, and in
    gVisor, which says that it is Linux, but takes SO_REUSEADDR only from before the bind.

    Returns
    -------
    bool
    """
    if sys.platform != "linux":
        return False
    with socket.socket() as holder, socket.socket() as server:
        try:
            holder.bind(("127.0.0.1", 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False  # a system without IPv4
            raise  # it may pass, and says nothing of the system
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(holder.getsockname())
            server.listen()
        except OSError:
            return False
    return True


class HeldPort:
    """A free TCP port, reserved for a server that is told its number, before the start and between restarts.

    Parameters
    ----------
    address : tuple
        The socket address on which the server will listen, with port 0.
    family : socket.AddressFamily
        Of the address.

    Attributes
    ----------
    address : tuple
        The socket address, with the port.
    port : int
        The port's number.

    Notes
    -----
    A socket that is bound, but never listens, reserves the port until `close`. On Linux, for each address
    that overlaps with its own (so a program may have the same port of another address of this machine):

    - The system gives the port to nobody who asks for any free port, and to no outgoing connection; all
      held ports differ. A program that asks for just this port without SO_REUSEADDR is refused.
    - A server that sets SO_REUSEADDR, as asyncio, nginx, HAProxy, NATS, Redis and Erlang do, may listen on
      it, end, and listen again. So could another program that sets it and asks for just this port.
    - While no server listens, clients are refused.

    Where `can_hold_ports` is False, the socket is closed at once, and the port was free a moment ago.

    Examples
    --------
    ::

        with HeldPort() as held:
            server = subprocess.Popen(["redis-server", "--port", str(held.port)])
            ...
    """

    def __init__(
        self, address: tuple[Any, ...] = ("127.0.0.1", 0), family: socket.AddressFamily = socket.AF_INET
    ) -> None:
        holder = socket.socket(family, socket.SOCK_STREAM)
        self._finalizer = weakref.finalize(self, holder.close)
        try:
            holder.bind(address)
            # After the bind: with this option before it, Linux chooses among a quarter of the free ports.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.address: tuple[Any, ...] = holder.getsockname()
            self.port = int(self.address[1])
            held = can_hold_ports()
        except BaseException:
            self.close()
            raise
        if not held:
            self.close()

    def close(self) -> None:
        """Let other programs have the port. Safe to repeat."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


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
