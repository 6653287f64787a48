"""Requests the page of metrics from a node: a text in Prometheus' format."""

from __future__ import annotations

import ssl as ssl_module

from rtlab.errors import LabError

__all__ = ["MetricsReader"]


class MetricsReader:
    """Reads the ``/metrics`` of several nodes over persistent connections.

    Parameters
    ----------
    token : str
        The lab's admin token.
    ssl : ssl.SSLContext, optional
        TLS context that trusts the nodes, for ``https``; None verifies no certificate.
    timeout : float
        Seconds within which a node must answer.

    Examples
    --------
    ::

        async with MetricsReader(lab.token) as reader:
            print(await reader.read(lab.url))
    """

    def __init__(self, token: str, ssl: ssl_module.SSLContext | None = None, *, timeout: float = 2.0) -> None:
        import httpx

        self._http = httpx.AsyncClient(
            trust_env=False,
            verify=ssl or False,
            timeout=timeout,
            headers={"Authorization": f"Bearer {token}"},
        )

    async def __aenter__(self) -> MetricsReader:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.aclose()

    async def read(self, url: str) -> str:
        """Return a node's metrics, given its base URL.

        Raises
        ------
        LabError
            When the node does not answer, or refuses.
        """
        import httpx

        try:
            return (await self._http.get(f"{url}/metrics")).raise_for_status().text
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise LabError(f"expected a node's metrics, got {reason}: see `lab.check()`") from error
