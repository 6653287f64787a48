"""Refuses a proxy whose upstream leads back to itself: one connection would open others without end."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from typing import Any

from rtlab.faults.errors import FaultError, bad_request
from rtlab.faults.proxy.proxy_base_class import Proxy, resolve, split_address

__all__ = ["refuse_loop"]


async def refuse_loop(listen: str, upstream: str, others: Collection[Proxy]) -> None:
    """Raise `FaultError` (400) when a proxy would be its own upstream, directly or through others.

    Parameters
    ----------
    listen, upstream : str
        Addresses of the proxy that is to be created or changed.
    others : collection of Proxy
        The other proxies of the same protocol.
    """
    address = upstream
    for _ in range(len(others) + 1):
        if await _reaches(address, listen):
            raise bad_request(
                f"upstream {upstream} leads back to {listen}, the proxy itself: name the service behind it"
            )
        following = [other.upstream for other in others if await _reaches(address, other.listen)]
        if not following:
            return
        address = following[0]


async def _reaches(address: str, listen: str) -> bool:
    """Whether a connection to an address arrives at a listener."""
    try:
        if split_address(address)[1] != split_address(listen)[1]:
            return False
        (_, there), (_, here) = await resolve(address), await resolve(listen)
    except (FaultError, OSError):
        return False  # a bad address is reported later, on listening or dialling
    if there[0] == here[0]:
        return True
    return ipaddress.ip_address(here[0]).is_unspecified and _is_ours(there)


def _is_ours(name: tuple[Any, ...]) -> bool:
    """Whether an address belongs to this machine, so that a socket can be bound to it."""
    family = socket.AF_INET6 if ":" in name[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((name[0], 0))
        except OSError:
            return False
    return True
