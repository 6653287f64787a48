"""A lab's description in a notebook: without ports and process ids, so that two runs show the same."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["as_html", "as_text"]


def as_text(nodes: int, *, faults: bool, state: str, dead: Sequence[str] = ()) -> str:
    """Describe a lab in a few words.

    Parameters
    ----------
    nodes : int
        How many servers.
    faults : bool
        Whether it has a fault proxy.
    state : str
        ``"new"``, ``"running"`` or ``"stopped"``.
    dead : sequence of str
        The names of children that ended by themselves.

    Examples
    --------
    >>> as_text(1, faults=True, state="running")
    '1 server and fault proxy, running'
    """
    parts = [f"{nodes} server{'s' if nodes > 1 else ''}"]
    if faults:
        parts.append("fault proxy")
    if dead and state == "running":
        state = f"{', '.join(dead)} died"
    return f"{' and '.join(parts)}, {state}"


def as_html(text: str, *, running: bool) -> str:
    """Return a description as HTML, with a hint at the next step.

    Parameters
    ----------
    text : str
        From `as_text`.
    running : bool
        Whether the lab runs: the hint says how to use it, else how to start one.
    """
    usage = "<code>lab = await Lab.start()</code> makes a running one"
    if running:
        usage = (
            "<code>lab.url</code>, <code>lab.ws_url</code>; <code>await lab.stop()</code> ends it, and so "
            "does a restart of the kernel: then run this cell first"
        )
    return f"<b>rtlab</b>: {html.escape(text)}<br>{usage}"
