"""A snapshot of a lab's node: its addresses, and whether its process runs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LabNode"]


@dataclass(frozen=True, repr=False)
class LabNode:
    """A snapshot of a node: its addresses, and whether its process runs.

    Parameters
    ----------
    name : str
        ``"node-1"``, …
    url : str
        ``http://127.0.0.1:…`` (https with ``tls``), without a proxy in between.
    alive : bool
        Whether its process runs.
    altered : bool
        Whether it was restarted with other options than the lab's own.

    Examples
    --------
    >>> LabNode("node-2", "http://127.0.0.1:4711", alive=True)
    <node-2, running>
    """

    name: str
    url: str
    alive: bool
    altered: bool = False

    @property
    def ws_url(self) -> str:
        """The node's WebSocket URL, ``ws://127.0.0.1:…/ws``."""
        return f"ws{self.url.removeprefix('http')}/ws"

    def __repr__(self) -> str:
        return f"<{self.name}, {'running' if self.alive else 'died'}>"
