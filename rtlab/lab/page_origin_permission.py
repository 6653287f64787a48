"""Allows the web pages of one origin to talk to a lab's first node, until that is revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rtlab.errors import LabError

if TYPE_CHECKING:
    from rtlab.lab.lab import Lab

__all__ = ["let_page_in"]


async def let_page_in(lab: Lab, origin: str | None) -> None:
    """Allow the web pages of one origin to talk to the first node, in place of the origin before.

    Parameters
    ----------
    lab : Lab
        A running lab. The permission is that of its first node, also through the fault proxy, and
        ends with the lab.
    origin : str or None
        The page's ``location.origin``, such as ``"http://localhost:8888"``; None revokes the permission.

    Raises
    ------
    LabError
        When the lab does not run, or the node refuses the origin.

    Examples
    --------
    ::

        await let_page_in(lab, "http://localhost:8888")
        await let_page_in(lab, None)
    """
    import httpx

    try:
        async with httpx.AsyncClient(trust_env=False, verify=lab.ssl or False, timeout=5) as http:
            answer = await http.put(
                f"{lab.url}/api/page-origin",
                headers={"Authorization": f"Bearer {lab.token}"},
                json={"origin": origin},
            )
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise LabError(f"expected the node to let pages in, got {reason}: see `lab.check()`") from error
    if answer.status_code != 200:
        raise LabError(f"expected the node to let pages in, got {answer.status_code}: {answer.text:.300}")
