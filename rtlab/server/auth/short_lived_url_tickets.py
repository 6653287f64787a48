"""Tickets: short-lived credentials that may stand in a URL, because they soon become worthless."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from rtlab.server.auth.principal import BadCredentials, Principal
from rtlab.server.auth.secret_hashes import hashed

__all__ = ["MAX_TICKETS", "Tickets"]

MAX_TICKETS: Final = 10_000


class Tickets:
    """Single-use tickets, bound to the address that asked for them.

    Parameters
    ----------
    ttl : float
        Lifetime of a ticket in seconds.
    clock : callable
        Seconds since 1970.
    once : bool
        False in the naive setting: a ticket may be used again until it expires.
    """

    def __init__(self, ttl: float, clock: Callable[[], float], *, once: bool = True) -> None:
        self.ttl = ttl
        self._clock = clock
        self._once = once
        self._tickets: OrderedDict[str, tuple[Principal, str | None, float]] = OrderedDict()

    def issue(self, principal: Principal, address: str | None) -> str:
        """Return a ticket for a user, bound to an address."""
        ticket = secrets.token_urlsafe(24)
        self._tickets[hashed(ticket)] = (principal, address, self._clock() + self.ttl)
        while len(self._tickets) > MAX_TICKETS:
            self._tickets.popitem(last=False)
        return ticket

    def redeem(self, ticket: str, address: str | None) -> Principal:
        """Return the principal of a ticket, and invalidate the ticket.

        Raises
        ------
        BadCredentials
            If the ticket was used, is expired, is bound to another address, or was never issued; the
            text is the same for all four.
        """
        name = hashed(ticket)
        found = self._tickets.pop(name, None) if self._once else self._tickets.get(name)
        principal, bound, until = found or (None, None, 0.0)
        if principal is None or bound != address or self._clock() >= until:
            raise BadCredentials("bad_ticket", "expected a fresh ticket, used once: POST /api/auth/ticket")
        return principal
