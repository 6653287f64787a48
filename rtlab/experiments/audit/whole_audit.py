"""The whole audit of one server."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Callable, Mapping

from rtlab.errors import ConnectFailed
from rtlab.experiments.audit.check_and_finding_types import Finding
from rtlab.experiments.audit.checks_before_authentication import forged_token, outside_checks
from rtlab.experiments.audit.checks_on_open_websocket import INSIDE, inside_checks
from rtlab.experiments.audit.requests_to_audited_server import Target, check_is_ours
from rtlab.experiments.endpoint.timed_connect_steps import TIMEOUT
from rtlab.protocol.urls import parse_url

__all__ = ["audit"]


async def audit(
    url: str,
    *,
    elsewhere: bool = False,
    headers: Mapping[str, str] | None = None,
    ssl: ssl_module.SSLContext | None = None,
    timeout: float = TIMEOUT,
    slow: float = 15.0,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> list[Finding]:
    """Test a WebSocket server the way an attacker without credentials would.

    Parameters
    ----------
    url : str
        ``ws``, ``wss``, ``http`` or ``https``.
    elsewhere : bool
        Whether to audit a server that is not on this machine. This needs its owner's permission.
    headers : mapping, optional
        Headers of each handshake, such as ``Authorization``. If no handshake succeeds, the checks of an
        open connection cannot be made.
    ssl : ssl.SSLContext, optional
        TLS context with the trusted authorities. None trusts the system's.
    timeout : float
        Timeout in seconds for each answer.
    slow : float
        Seconds within which the server should close a connection whose handshake never finishes.
    progress : callable
        Called with the share done, from 0 to 1, and a text that says what comes next.

    Returns
    -------
    list of Finding
        One for each check. The list of checks is always the same, whatever is found.

    Raises
    ------
    ConnectFailed
        When the server does not answer, has no WebSocket at this URL, or is on another machine and
        `elsewhere` is false.

    Examples
    --------
    ::

        for finding in await audit(lab.ws_url):
            print(finding.result, finding.check, finding.evidence)
    """
    target = Target(parse_url(url).over("ws"), ssl, timeout, slow, dict(headers or {}))
    if not elsewhere:
        await check_is_ours(target.url)
    progress(0.0, "looking for a WebSocket")
    answer = await target.handshake({})
    if answer.status not in (101, 401, 403):
        raise ConnectFailed(
            f"{target.url.address} answered {answer} to a handshake: is the path right, such as /ws?",
            retryable=False,
        )
    progress(0.1, "trying the door")
    findings = await outside_checks(target)
    progress(0.6, "trying an open connection")
    entered = await _way_in(target)
    if entered is None:
        why = f"{answer}: nobody comes in without credentials (--header 'Authorization: …' tries further)"
        return [*findings, *(check.unseen(why) for check in INSIDE)]
    return [*findings, *await inside_checks(entered)]


async def _way_in(target: Target) -> Target | None:
    """Return the target with header fields that open a connection; None if none do."""
    for fields in ({}, {"Authorization": f"Bearer {forged_token()}"}):
        if (await target.handshake(fields)).status == 101:
            return Target(target.url, target.ssl, target.timeout, target.slow, {**target.fields, **fields})
    return None
