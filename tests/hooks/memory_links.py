"""Components over transports in memory, rendered without a browser."""

from __future__ import annotations

from contextlib import asynccontextmanager

import reacton

from rtlab.client.connection import Connection
from rtlab.hooks.shared_connections import hooks_settled, open_links
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.memory import FAST, leftovers, welcome


class Server:
    """Hands out transports to a hook's ``connect=``, and keeps them."""

    def __init__(self, make=None):
        self.made = []
        self.urls = []
        self._make = make or (lambda n: MemoryTransport(welcome=welcome(f"s{n}")))

    def __call__(self, url, **options):
        self.urls.append(url)
        return Connection(self._transport, **{"backoff": FAST, "heartbeat": None, **options})

    def _transport(self):
        self.made.append(self._make(len(self.made)))
        return self.made[-1]


@asynccontextmanager
async def rendered(element, *, alone=True):
    """Render an element; at the end nothing of it may be left, nor any task where none but its own run."""
    _, tree = reacton.render(element, handle_error=False)
    try:
        yield tree
    finally:
        tree.close()
        await hooks_settled()
    assert open_links() == 0
    assert not alone or leftovers() == []
