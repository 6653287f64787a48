"""The reason why a page cannot reach a server on the kernel's machine, from what the page can find out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtlab.protocol.origin_and_host_headers import is_loopback

__all__ = ["why_out_of_reach"]


def why_out_of_reach(facts: Mapping[str, Any]) -> str:
    """Return the likeliest reason, and a remedy where there is one, in one sentence.

    Parameters
    ----------
    facts : mapping
        What the page found: ``origin``, ``host``, ``secure`` (the page came over https), ``policy`` (its
        content security policy forbade the request), ``permission`` (state of the permission for local
        networks, unless granted or unknown), ``error`` (the browser's error message).

    Examples
    --------
    >>> why_out_of_reach({"policy": True})
    "this page's content security policy forbids to reach 127.0.0.1: open the notebook in JupyterLab itself"
    """
    host, permission = str(facts.get("host", "")), facts.get("permission")
    if facts.get("origin") == "null":
        return "this page is sandboxed: its origin is null, as any site's sandbox has it, so it is not let in"
    if facts.get("policy"):
        return (
            "this page's content security policy forbids to reach 127.0.0.1: open the notebook in JupyterLab "
            "itself"
        )
    if permission == "denied":
        return (
            "this browser's rule for local networks forbids this page to reach 127.0.0.1: allow it in the "
            "site's settings (the sign left of the address), and run again"
        )
    if not is_loopback(host):
        asked = " Or the browser asked for your permission, and got none." if permission else ""
        return (
            f"this page came from {host or 'no host at all'}, so JupyterLab runs elsewhere than this browser "
            "(a hub, Binder, a container, remote VS Code), and 127.0.0.1 is here your own machine, on which "
            f"no lab listens. With JupyterLab on the machine of the browser it works.{asked}"
        )
    if facts.get("secure"):
        return (
            "this page came over https, and this browser lets no such page reach http://127.0.0.1, as Safari "
            "does: open JupyterLab over http://localhost"
        )
    return (
        f"the request failed ({str(facts.get('error', ''))[:200]}): 127.0.0.1 is here another machine than "
        "the kernel's (a tunnel or a container that hands on JupyterLab's port alone), or an extension "
        "blocks it"
    )
