"""A capacity plan: the resources that N clients need, extrapolated from the measured cost of one client.

The rate of new connections follows from Little's law, L = λW (J. D. C. Little, Operations Research 9,
1961). Each node keeps headroom, so that the cluster survives the loss of a zone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Costs", "Need", "Workload", "capacity_plan"]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Measured cost of one process, one connection and one operation.

    Parameters
    ----------
    base_bytes : float
        Memory of a server process without clients.
    connection_bytes, kernel_bytes : float
        Memory of one connection in the server process, and in the kernel.
    delivery_seconds, connect_seconds, heartbeat_seconds : float
        CPU seconds to deliver one message to one client, to accept one client, and for one heartbeat.
    """

    base_bytes: float
    connection_bytes: float
    kernel_bytes: float
    delivery_seconds: float
    connect_seconds: float
    heartbeat_seconds: float


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The load that the plan assumes.

    Parameters
    ----------
    clients : float
        Number of clients connected at the same time.
    deliveries : float
        Messages that each client receives per second.
    session : float
        Seconds that a client stays connected, on average.
    heartbeat : float
        Seconds between two heartbeats of a client.
    load : float
        Share of a core, and of a node's memory, that may be used, from 0 to 1.
    node_bytes : float
        Memory of one node, in bytes.
    """

    clients: float = 1e6
    deliveries: float = 0.1
    session: float = 600.0
    heartbeat: float = 25.0
    load: float = 0.5
    node_bytes: float = 2.0 * 2**30


@dataclass(frozen=True, kw_only=True)
class Need:
    """The resources that the workload needs.

    Parameters
    ----------
    memory_bytes, kernel_bytes : float
        Memory of all server processes together, and of the kernels of their machines.
    delivery_cores, connect_cores, heartbeat_cores : float
        Cores kept busy by deliveries, by new connections and by heartbeats.
    connects_per_second : float
        New connections per second in normal operation: clients / session.
    nodes : int
        Number of single-core processes: the larger of what memory requires and what CPU requires.
    limit : str
        The resource that determines `nodes`: ``"memory"`` or ``"CPU"``.
    """

    memory_bytes: float
    kernel_bytes: float
    delivery_cores: float
    connect_cores: float
    heartbeat_cores: float
    connects_per_second: float
    nodes: int
    limit: str

    @property
    def cores(self) -> float:
        """Busy cores in total."""
        return self.delivery_cores + self.connect_cores + self.heartbeat_cores


def capacity_plan(costs: Costs, work: Workload) -> Need:
    """Extrapolate `costs` to `work`, on the assumption that every cost is proportional to the clients.

    Parameters
    ----------
    costs : Costs
        The measured unit costs.
    work : Workload
        The load to plan for.

    Returns
    -------
    Need

    Raises
    ------
    ValueError
        When a node has no room for a single client.

    Examples
    --------
    >>> one = Costs(base_bytes=5e7, connection_bytes=2e4, kernel_bytes=4e3, delivery_seconds=1e-5,
    ...             connect_seconds=5e-4, heartbeat_seconds=2e-5)
    >>> plan = capacity_plan(one, Workload())
    >>> round(plan.cores, 1), plan.nodes, plan.limit
    (2.6, 24, 'memory')
    """
    room = work.load * work.node_bytes - costs.base_bytes
    each = costs.connection_bytes + costs.kernel_bytes
    if room < each:
        raise ValueError(f"expected node_bytes with room for a client, got {work.node_bytes:,.0f}")
    rate = work.clients / work.session
    delivery = work.clients * work.deliveries * costs.delivery_seconds
    connect = rate * costs.connect_seconds
    heartbeat = work.clients / work.heartbeat * costs.heartbeat_seconds
    by_memory = math.ceil(work.clients * each / room)
    by_cpu = math.ceil((delivery + connect + heartbeat) / work.load)
    nodes = max(by_memory, by_cpu, 1)
    return Need(
        memory_bytes=work.clients * costs.connection_bytes + nodes * costs.base_bytes,
        kernel_bytes=work.clients * costs.kernel_bytes,
        delivery_cores=delivery,
        connect_cores=connect,
        heartbeat_cores=heartbeat,
        connects_per_second=rate,
        nodes=nodes,
        limit="memory" if by_memory >= by_cpu else "CPU",
    )
