"""Reads the counters of a server node from its ``/stats``."""

from __future__ import annotations

import ssl as ssl_module
from typing import Any

from rtlab.errors import LabError

__all__ = ["node_stats"]


async def node_stats(url: str, token: str, ssl: ssl_module.SSLContext | None = None) -> dict[str, Any]:
    """Return the counters of a node.

    Parameters
    ----------
    url : str
        The node's base URL.
    token : str
        The lab's admin token.
    ssl : ssl.SSLContext, optional
        TLS context that trusts the node, for ``https``; None verifies no certificate.

    Returns
    -------
    dict
        Connections by transport, messages, tasks, descriptors, memory (``rss_bytes``), …

    Raises
    ------
    LabError
        When the node does not answer, or refuses.
    """
    import httpx

    try:
        async with httpx.AsyncClient(trust_env=False, verify=ssl or False) as http:
            answer = await http.get(f"{url}/stats", headers={"Authorization": f"Bearer {token}"})
            return answer.raise_for_status().json()
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise LabError(f"expected a node's counts, got {reason}: see `lab.check()`") from error
