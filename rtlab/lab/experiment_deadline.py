"""Experiments with a lab that end in words: what is missing, whether the machine is to blame, what to run."""

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
    """Give an experiment in a notebook so many seconds, and say why it failed.

    A node that stands still for longer than its lease gives up its rooms, as it must: what was published
    there, and not yet read, is lost, and the room's members are told. On a machine that did something else
    for so long this happens to a lab that nobody broke, and an experiment waits for what cannot come.

    Parameters
    ----------
    lab : Lab
        Whose nodes it talks to.
    seconds : float
        How long it may take.
    missing : callable
        Says how far it came; asked when it has failed.

    Raises
    ------
    MachineBusy
        It failed, and a node had stood still meanwhile.
    LabError
        Something did not come in time.
    RtlabError
        What the experiment raised.

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
    """Return how often each node's process has given up its rooms; none of a node that does not answer."""
    found: dict[int, int] = {}
    for node in range(len(lab.urls)):
        with suppress(LabError):
            stats = await lab.stats(node)
            if stats["cluster"] is not None:  # a server that stands alone has nothing to give up
                found[stats["pid"]] = stats["cluster"]["lapses"]
    return found
