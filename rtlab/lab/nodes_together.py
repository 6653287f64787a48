"""What the nodes of a lab share: a broker of the lab's own, and the moment when all know each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from rtlab.errors import LabError
from rtlab.lab.broker_servers import BROKERS, BrokerServer
from rtlab.lab.server_arguments import ServerOptions

__all__ = ["all_of", "start_broker", "until_together"]

_POLL: Final = 0.02


async def all_of(actions: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all at once; raise the first `LabError` itself, not a group of them.

    Parameters
    ----------
    actions : sequence of coroutine
        What to do.

    Raises
    ------
    LabError
        From one of them; the others are cancelled.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for action in actions:
                group.create_task(action)
    except* LabError as failed:
        first = failed.exceptions[0]
    else:
        return
    raise first


async def start_broker(options: ServerOptions) -> BrokerServer | None:
    """Start the broker that a lab's options name, and put its URL there.

    Parameters
    ----------
    options : ServerOptions
        Its ``broker`` is one of `BROKERS`, or the URL of a server that runs already.

    Returns
    -------
    BrokerServer or None
        None for a URL, and without a broker.

    Raises
    ------
    LabError
        For another word, and when the broker is not installed or does not start.
    """
    broker = options.get("broker")
    if broker is None or "://" in broker:
        return None
    if broker not in BROKERS:
        raise LabError(f"expected a broker's URL, or one of {', '.join(BROKERS)}, got broker={broker!r}")
    server = await BrokerServer.start(broker)
    options["broker"] = server.url
    return server


async def until_together(
    stats: Callable[[int], Awaitable[dict[str, Any]]], nodes: int, timeout: float
) -> None:
    """Wait until every node knows all others: before, rooms may still change their owner.

    Parameters
    ----------
    stats : callable
        Returns what a node counts.
    nodes : int
        How many there are.
    timeout : float
        Seconds.

    Raises
    ------
    LabError
        When they do not meet in time.
    """
    try:
        async with asyncio.timeout(timeout):
            for node in range(nodes):
                while len((await stats(node))["cluster"]["nodes"]) < nodes:
                    await asyncio.sleep(_POLL)
    except TimeoutError:
        raise LabError(
            f"the {nodes} nodes did not meet within {timeout:g} s: does the broker deliver?"
        ) from None
