"""Starts a lab's nodes as a cluster: starts their broker, and waits until all nodes know each other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from rtlab.errors import LabError
from rtlab.lab.broker_servers import BROKERS, BrokerServer
from rtlab.lab.lab_options_as_server_arguments import ServerOptions
from rtlab.protocol.urls import shown

__all__ = ["all_of", "start_broker", "until_together"]

_POLL: Final = 0.02


async def all_of(actions: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines concurrently; raise the first `LabError` itself, not an `ExceptionGroup`.

    Parameters
    ----------
    actions : sequence of coroutine
        The coroutines to run.

    Raises
    ------
    LabError
        The error of the first that fails; the others are cancelled.
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
    """Start the broker that a lab's options name, and replace the name in `options` by its URL.

    Parameters
    ----------
    options : ServerOptions
        The lab's options; ``broker`` is one of `BROKERS`, or the URL of a broker that runs already.

    Returns
    -------
    BrokerServer or None
        None for a URL, or when the options name no broker.

    Raises
    ------
    LabError
        When the broker's name is unknown, or the broker is not installed or does not start.
    """
    broker = options.get("broker")
    if broker is None or "://" in broker:
        return None
    if broker not in BROKERS:
        raise LabError(f"expected a broker's URL, or one of {', '.join(BROKERS)}, got broker={shown(broker)}")
    server = await BrokerServer.start(broker)
    options["broker"] = server.url
    return server


async def until_together(
    stats: Callable[[int], Awaitable[dict[str, Any]]], nodes: int, timeout: float
) -> None:
    """Wait until every node hears the broker and knows all others; until then, rooms may still move.

    Parameters
    ----------
    stats : callable
        Returns the counters of a node, given its index.
    nodes : int
        Number of nodes.
    timeout : float
        Seconds for the whole wait.

    Raises
    ------
    LabError
        When the nodes do not know each other in time.
    """
    try:
        async with asyncio.timeout(timeout):
            for node in range(nodes):
                while True:
                    cluster = (await stats(node))["cluster"]
                    if cluster["connected"] and len(cluster["nodes"]) >= nodes:
                        break
                    await asyncio.sleep(_POLL)
    except TimeoutError:
        raise LabError(
            f"the {nodes} nodes did not meet within {timeout:g} s: does the broker deliver?"
        ) from None
