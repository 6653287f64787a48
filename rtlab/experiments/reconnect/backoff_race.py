"""Races backoff policies with real connections: one herd and one server each, all killed at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from rtlab.client.transports.transport_interface import Transport
from rtlab.client.transports.websocket_transport import WebSocketTransport
from rtlab.experiments.reconnect.herd_of_real_connections import real_herd
from rtlab.experiments.reconnect.herd_result import HerdRun
from rtlab.lab.lab import Lab
from rtlab.policies.backoff import Backoff
from rtlab.processes.owned_tasks import together, until_stopped

__all__ = ["herd_race"]


async def herd_race(
    policies: Mapping[str, Backoff],
    *,
    handshake_rate: float,
    handshake_queue: int,
    clients: int = 60,
    outage: float = 0.5,
    duration: float = 4.0,
    bin_width: float = 0.1,
    seed: int = 1,
    stopped: asyncio.Event | None = None,
    on_return: Callable[[str, float], object] = lambda name, lost_at: None,
) -> dict[str, HerdRun]:
    """Give each policy a herd and a server, kill all servers, and restart them with a handshake limit.

    Parameters
    ----------
    policies : mapping of str to Backoff
        Name → backoff policy.
    handshake_rate, handshake_queue : float and int
        Limits of the restarted servers: handshakes per second, and handshakes that may wait; others get 503.
    clients, outage, duration, bin_width, seed
        As in `rtlab.experiments.reconnect.herd_of_real_connections.real_herd`, for each herd.
    stopped : asyncio.Event, optional
        Setting this event ends the race early.
    on_return : callable
        Called whenever a client has reconnected, with the policy's name and the time of the server's loss
        on the monotonic clock.

    Returns
    -------
    dict of str to HerdRun
        Name of the policy → result; empty if the race was stopped.

    Raises
    ------
    ConnectFailed
        When a herd cannot connect at the beginning.
    LabError
        When a server does not restart.
    """

    async def race() -> list[HerdRun]:
        async with Lab(nodes=len(policies)) as lab:
            urls, everyone = lab.ws_urls, asyncio.Barrier(len(policies))

            async def herd(node: int, name: str, policy: Backoff) -> HerdRun:
                def transport() -> Transport:
                    return WebSocketTransport(urls[node])

                return await real_herd(
                    transport,
                    policy,
                    kill=partial(lab.kill, node),
                    restart=partial(
                        lab.restart, node, handshake_rate=handshake_rate, handshake_queue=handshake_queue
                    ),
                    clients=clients,
                    outage=outage,
                    duration=duration,
                    capacity=handshake_rate,
                    bin_width=bin_width,
                    seed=seed,
                    label=name,
                    gathered=everyone.wait,
                    on_return=partial(on_return, name),
                )

            return await together(*(herd(node, *pair) for node, pair in enumerate(policies.items())))

    # `stopped` must also end the start of the servers, which takes seconds on a busy machine.
    return {run.label: run for run in await until_stopped(race(), stopped) or ()}
