"""Limits an experiment's time, and explains its failure: what is missing, a busy machine, what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from rtlab.errors import LabError, MachineBusy, RtlabError

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["undisturbed"]


@asynccontextmanager
async def undisturbed(lab: Lab, seconds: float, missing: Callable[[], str]) -> AsyncGenerator[None]:
    """Limit the time of an experiment in a notebook, and explain its failure.

    A node that is stalled for longer than its lease gives up its rooms, as it must: messages that were
    published there and not yet read are lost, and the rooms' members are told. On an overloaded machine
    this happens without any injected fault, and the experiment waits for messages that cannot come.

    Parameters
    ----------
    lab : Lab
        The lab whose nodes the experiment uses.
    seconds : float
        How long the experiment may take.
    missing : callable
        Returns a text on how far the experiment came; called when it has failed.

    Raises
    ------
    MachineBusy
        The experiment failed, and a node was stalled meanwhile.
    LabError
        The experiment did not end in time.
    RtlabError
        The error that the experiment raised.

    Examples
    --------
    ::

        async with undisturbed(lab, 20, lambda: f"{len(heard)} of 81 came"), WebSocketConnection(url) as conn:
            ...
    """
    before = await _lapses(lab)
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except (RtlabError, TimeoutError) as error:
        after = await _lapses(lab)
        if any(count > before.get(process, 0) for process, count in after.items()):
            raise MachineBusy(
                "the machine stood still for so long that a server gave up its rooms, and what was on its "
                f"way in them ({missing()}): wait, and run this cell again"
            ) from error
        if isinstance(error, TimeoutError):
            why = f"after {seconds:g} s" if limit.expired() else str(error)
            raise LabError(f"{why}: {missing()}; look at `lab.check()`, and run this cell again") from error
        raise


async def _lapses(lab: Lab) -> dict[int, int]:
    """Map process ids of nodes to how often each gave up its rooms; leaves out nodes that do not answer."""
    found: dict[int, int] = {}
    for node in range(len(lab.urls)):
        with suppress(LabError):
            stats = await lab.stats(node)
            if stats["cluster"] is not None:  # a server outside a cluster never gives up its rooms
                found[stats["pid"]] = stats["cluster"]["lapses"]
    return found
