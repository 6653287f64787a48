"""Ports for the kernels that tests start, from where the system takes none for connections.

A kernel's five ports are chosen a second before it listens on them; meanwhile thousands of connections
of other tests come and go, and now and then one of them had taken such a port.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Final

from jupyter_client.provisioning.local_provisioner import LocalPortCache

__all__ = ["give_to_jupyterlab", "kernel_ports"]

#: Below Linux' ``net.ipv4.ip_local_port_range``; each worker of xdist has its own thousand.
_FIRST: Final = 20_000
_SHARE: Final = 1000
_OF_JUPYTERLAB: Final = range(30_000, 32_000)


def _free(ports: range, taken: Collection[int] = ()) -> Iterator[int]:
    for port in random.sample(ports, len(ports)):
        if port in taken:
            continue
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def kernel_ports() -> dict[str, int | bool]:
    """Return the arguments of a kernel manager that name its ports."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")
    first = _FIRST + _SHARE * (int(worker) % 10)
    names = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    ports = islice(_free(range(first, first + _SHARE)), len(names))
    return {"cache_ports": False, **dict(zip(names, ports, strict=True))}


def give_to_jupyterlab() -> None:
    """Let the kernels that this process's JupyterLab starts have such ports too."""

    def find_available_port(cache: LocalPortCache, ip: str) -> int:
        port = next(_free(_OF_JUPYTERLAB, cache.currently_used_ports))
        cache.currently_used_ports.add(port)
        return port

    LocalPortCache.find_available_port = find_available_port
